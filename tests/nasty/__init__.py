"""Nasty input: files that try to break the readers, and what became of each.

    files of others, or of tests/nasty/corpus → attempt on each, in a worker with limits → table of outcomes

`python -m tests.nasty DIR …` runs it. An attempt is one file read at the level where files meet our
code: `init`'s proposal, and planning, reading and validating every column as each kind there is. What
came of it is compared with what Python's `csv` and `json`, pyarrow and TensorFlow say of the same bytes.
"""
