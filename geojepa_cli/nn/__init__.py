"""Network layers and functions: tensors only, no strings, files or configurations."""
