"""Loss functions for training. All take and return tensors, without side effects."""
