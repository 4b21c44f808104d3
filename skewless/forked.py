"""Processes forked from one that has used TensorFlow, in which TensorFlow stands still for ever.

Its threads are not forked with the process, and its first operation there waits for one of them. That is
how `multiprocessing` starts processes on Linux before Python 3.14, and PyTorch's DataLoader its workers.
"""

from __future__ import annotations

import os
import sys

from skewless.schemas.errors import UsageError

__all__ = ["refuse_forked"]

_forked = False


def refuse_forked() -> None:
    """Refuses to go on where TensorFlow would wait without end.

    Raises:
      UsageError: In a process forked from one in which TensorFlow had begun to work.
    """
    if _forked:
        raise UsageError(
            "this process was forked from one that had used TensorFlow, which stands still in it; start "
            "workers by multiprocessing.get_context('spawn'), or multiprocessing_context='spawn' of a "
            "DataLoader, or fork them before anything is opened or called"
        )


def _note() -> None:
    global _forked
    context = getattr(sys.modules.get("tensorflow.python.eager.context"), "_context", None)
    # TensorFlow's own, and private: without it nothing is refused.
    _forked = _forked or bool(getattr(context, "_initialized", False))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
