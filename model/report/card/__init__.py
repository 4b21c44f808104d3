"""The model card: what a model was made of, how good it is, and where it is not to be trusted."""
