"""Histories: each row's past, built from the rows themselves."""
