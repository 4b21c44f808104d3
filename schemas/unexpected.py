"""Errors that are not our own, told to a person: what failed, at which path, and what to do.

An error of our own that a library wrapped on its way, as Beam does with what its workers raise, is
told as it was meant.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from skewless.schemas.errors import SkewlessError

__all__ = ["told"]

# What Beam makes of a worker's error is the text of its traceback.
_OURS = re.compile(r"^schemas\.errors\.\w+: (?P<text>.*?)(?: \[while running .*)?$", re.MULTILINE)
_STEP = re.compile(r" \[while running '[^']*'\]")
_LONGEST = 300
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space, or write to another",
    errno.EDQUOT: "the quota is used up; free some space, or write elsewhere",
    errno.EROFS: "the file system is read-only; choose a place that can be written to",
    errno.EACCES: "not permitted; check who may read and write there",
    errno.EPERM: "not permitted; check who may read and write there",
    errno.ENOENT: "no such file or folder; check the path, and leave input in place while it is read",
    errno.ENOTDIR: "a file is where a folder should be; choose another path",
    errno.EEXIST: "a file is in the way; choose another path, or remove it",
    errno.EISDIR: "a folder is where a file should be; choose another path",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EMFILE: "too many open files; raise the limit (`ulimit -n`)",
    errno.EFBIG: "the file grew larger than is allowed; raise the limit (`ulimit -f`)",
}


def told(error: Exception) -> str:
    """Returns what to tell a person of an error; one line, unless it is an error of our own."""
    for cause in _causes(error):
        if isinstance(cause, SkewlessError):
            return _STEP.sub("", str(cause))
        if match := _OURS.search(str(cause)):
            return match["text"]
    for cause in _causes(error):
        if isinstance(cause, MemoryError):
            return (
                "out of memory; close other programs, or use one process "
                "(`--direct_num_workers=1`) or smaller batches"
            )
        if isinstance(cause, OSError) and cause.errno in _REMEDIES:
            where = f"{cause.filename}: " if cause.filename is not None else ""
            return where + _REMEDIES[cause.errno]
    return (
        f"{_last_line(error)}; this should not happen: run the command again with -v to see where "
        "it did, and please report it"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        yield error
        following = error.__cause__ or error.__context__
        if following is None:
            return
        error = following


def _last_line(error: Exception) -> str:
    """Returns the error's own line, or the last line of the traceback that Beam made of it."""
    lines = [line.strip() for line in _STEP.sub("", str(error)).splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    if not re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", text):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
