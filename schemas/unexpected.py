"""Errors that are not our own, told to a person: what failed, at which path, and what to do.

An error of our own that a library wrapped on its way, as Beam does with what its workers raise, is
told as it was meant. What the system refuses is known by its number, or, where a library made text
of it (TensorFlow, HDF5, Arrow, Beam's worker processes), by the system's words in that text.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator

from skewless.schemas.errors import SkewlessError
from skewless.schemas.staged import as_asked_for
from skewless.schemas.storage.known_as import as_known

__all__ = ["refused_by_system", "told"]

# What Beam makes of a worker's error is the text of its traceback.
_OURS = re.compile(
    r"^(?:skewless\.)?schemas\.errors\.\w+: (?P<text>.*?)(?: \[while running .*)?$", re.MULTILINE
)
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
# An absolute path, as libraries put it into a message.
_PATH = re.compile(r"(?<![\w.:/])(?:[a-z]+:/)?(?:/[^\s/:;,'\"`]+)+/?")
# TensorFlow says of these only that something is used up.
_FULL_WITHOUT_WORDS = "ResourceExhaustedError: Could not initialize events writer"
_FOLDER_OF_CODE = re.compile(r"\.(?:py|cc|c|h)\b")


def told(error: BaseException, output: str | None = None) -> str:
    """Returns what to tell a person of an error; one line, unless it is an error of our own.

    Args:
      error: What was raised.
      output: What the command was writing: named where the system refuses and no path is known.
    """
    for cause in _causes(error):
        if isinstance(cause, SkewlessError):
            return as_known(_STEP.sub("", str(cause)))
        if match := _OURS.search(str(cause)):
            return as_known(match["text"])
    if refused := refused_by_system(error, output):
        return as_known(refused)
    if any(isinstance(cause, MemoryError) for cause in _causes(error)):
        return (
            "out of memory; close other programs, or use one process "
            "(`--direct_num_workers=1`) or smaller batches"
        )
    line = _last_line(error)
    line = line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
    return (
        f"{line}; this should not happen: run the command again with -v to see where "
        "it did, and please report it"
    )


def refused_by_system(error: BaseException, output: str | None = None) -> str:
    """Returns the path and the remedy of what the system refuses; empty for any other error."""
    for cause in _causes(error):
        code, path = _number_and_path(cause)
        if code in _REMEDIES:
            path = path or output
            return (f"{as_asked_for(path)}: " if path else "") + _REMEDIES[code]
    return ""


def _number_and_path(error: BaseException) -> tuple[int | None, str | None]:
    if isinstance(error, OSError) and error.errno in _REMEDIES and error.filename is not None:
        # Of a copy that fails, what is to be written is the second.
        return error.errno, os.fsdecode(error.filename2 or error.filename)
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # Of a tree: (from, to, why) of each file that could not be copied.
        _, path, line = (str(part) for part in error.args[0][0])
        return next((code for code in _REMEDIES if os.strerror(code) in line), None), path
    line = _last_line(error)
    code = error.errno if isinstance(error, OSError) else None
    if code not in _REMEDIES:
        code = next((code for code in _REMEDIES if os.strerror(code) in line), None)
    if code is None and line.startswith(_FULL_WITHOUT_WORDS):
        code = errno.ENOSPC
    paths = [path for path in _PATH.findall(line) if not _FOLDER_OF_CODE.search(path)]
    return code, next(iter(paths), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        yield error
        following = error.__cause__ or error.__context__
        if following is None:
            return
        error = following


def _last_line(error: BaseException) -> str:
    """Returns the error's own line, or the last line of the traceback that Beam made of it."""
    lines = [line.strip() for line in _STEP.sub("", str(error)).splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    if not re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", text):
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    return text
