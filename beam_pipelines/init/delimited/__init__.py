"""How delimited text is written, as far as its bytes and fields tell."""
