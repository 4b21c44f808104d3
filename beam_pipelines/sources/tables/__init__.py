"""Tables of data files by snapshot: which files, what they lack, and which of their rows are deleted."""
