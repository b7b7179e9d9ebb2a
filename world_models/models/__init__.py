"""V, M and C as torch modules: tensors in, tensors out."""
