"""From the tensors of a batch to tokens."""
