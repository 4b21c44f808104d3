"""Kinds of model with a module of their own."""
