"""One row's walk through a model."""
