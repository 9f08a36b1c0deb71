"""The vocabulary that every room of the house speaks: trees of tensors, examples and signatures."""
