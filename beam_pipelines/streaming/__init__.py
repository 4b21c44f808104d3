"""The same transform over unbounded input: sources, windows, panes."""
