"""Between processes of one job that see no disk together: what one leaves in a bucket for others.

entries.py   small files known by their names
files.py     single files, read where they lie or fetched; folders, checked by hash
panes.py     panes of a stream's windows, sealed by one and committed by another
"""
