"""Importing what a command needs: quickly, and without what libraries write meanwhile."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["no_garbage_collection", "silent_standard_error"]


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Spares modules being loaded, a million objects that stay, the search for garbage.

    That took about a second of the six that a small job lasts.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def silent_standard_error(verbose: bool) -> Iterator[None]:
    """Holds back what TensorFlow's libraries write while they load, before logging is set up.

    If loading fails, what was held back is written after all.
    """
    if verbose:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
