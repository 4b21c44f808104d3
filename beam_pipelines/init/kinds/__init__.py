"""Kinds of columns that take more than a look at counts to tell."""
