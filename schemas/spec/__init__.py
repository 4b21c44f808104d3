"""The declared types of the spec, how they are read, and what they refuse."""
