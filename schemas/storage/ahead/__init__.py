"""Ahead: the shards of records at a URI, fetched while those before them are trained on.

bounded.py     copies of files by their digests, so many bytes of them, for all processes
fetching.py    files in an order, each at hand when it is asked for
"""
