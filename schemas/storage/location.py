"""Locations: URIs of object stores, by fsspec, and every refusal of a store in one line.

`s3://`, `gs://`, `az://` and, in tests, `memory://`; `file://` is a path by another name. What
implements a scheme is an extra, imported when the first URI of the scheme is met.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from skewless.schemas.errors import SkewlessError, UsageError, nearest

__all__ = ["TRANSFERS", "Location", "as_path", "is_uri", "names_in", "refused", "version_of"]

# Files sent or fetched at a time.
TRANSFERS = 8
_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000
_URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<path>.*)", re.DOTALL)
# By scheme: the module that fsspec needs for it, and our extra that brings it.
_IMPLEMENTED = {
    "s3": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "az": ("adlfs", "azure"),
    "memory": ("fsspec", "s3"),
}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role of the machine",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or a service "
    "account of the machine",
    "az": "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME with a key or an identity",
}
# Of S3, answers such as 503 are tried again so often, with growing waits, unless AWS_MAX_ATTEMPTS
# says another number; the other libraries try again by themselves.
_ATTEMPTS = 8


@dataclass(frozen=True)
class _Library:
    """How a store's library is told to hold one piece of a file at a time.

    Several files go at a time, so that pieces of each need not. Left alone s3fs holds ten parts of 50 MiB
    of each file that it sends, gcsfs one such, adlfs very many small ones.

    Attributes:
      sizes: Whether it can be told the size of the parts that it sends.
      sending: Its options when it sends.
      fetching: Its options when it fetches.
    """

    sizes: bool = False
    sending: Mapping[str, int] = field(default_factory=dict)
    fetching: Mapping[str, int] = field(default_factory=dict)


_ONE = {"max_concurrency": 1}
_LIBRARIES = {
    "s3": _Library(sizes=True, sending=_ONE, fetching=_ONE),
    "gs": _Library(sizes=True, fetching={"concurrency": 1}),
    "az": _Library(sending=_ONE, fetching=_ONE),
    "memory": _Library(),
}


def is_uri(path: object) -> bool:
    """Whether a path or string is written as a URI."""
    return isinstance(path, str) and _URI.match(path) is not None


def as_path(uri: str) -> Path | None:
    """Returns the path that a `file://` URI names, or None for any other URI.

    Raises:
      UsageError: If it names a file of another machine.
    """
    match = _URI.match(uri)
    if match is None or match["scheme"].lower() != "file":
        return None
    if not match["path"].startswith("/"):
        raise UsageError(f"{uri}: expected file:/// and an absolute path")
    return Path(unquote(match["path"]))


@dataclass(frozen=True)
class Location:
    """A place in an object store.

    Attributes:
      scheme: Such as `s3`.
      path: Bucket and key, as the file system takes them; no slash at its end.
    """

    scheme: str
    path: str

    @classmethod
    def of(cls, uri: str) -> Location:
        """Reads a URI.

        Raises:
          UsageError: If its scheme is unknown, its bucket is missing, or what implements the scheme
            is not installed.
        """
        match = _URI.match(uri)
        scheme = match["scheme"].lower() if match else ""
        if match is None or scheme not in _IMPLEMENTED:
            known = [f"{name}://" for name in ("file", *_IMPLEMENTED) if name != "memory"]
            hint = nearest(f"{scheme}://", known)
            raise UsageError(f"{uri}: expected a path, or a URI of {', '.join(known)}{hint}")
        module, extra = _IMPLEMENTED[scheme]
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UsageError(
                f"{uri}: {scheme}:// needs {module}, which is not installed; install it: "
                f"pip install 'skewless[{extra}]'"
            ) from error
        path = re.sub("/+", "/", match["path"]).strip("/")
        if not path:
            raise UsageError(f"{uri}: expected a bucket after {scheme}://")
        return cls(scheme, path)

    @property
    def system(self) -> Any:
        """The fsspec file system, one for each scheme and process.

        Raises:
          UsageError: If it cannot be had without credentials, and there are none.
        """
        try:
            return _system(self.scheme)
        except ValueError as error:
            raise UsageError(
                f"{self}: no credentials were found; set {_CREDENTIALS[self.scheme]}"
            ) from error

    def put_file(self, path: str | Path) -> None:
        """Uploads a file of this machine in parts of 8 MiB or more, of which memory holds one at a time."""
        library = _LIBRARIES[self.scheme]
        options = dict(library.sending)
        if library.sizes:
            least = -(-Path(path).stat().st_size // _MOST_PARTS)
            options["chunksize"] = _PART_BYTES * max(1, -(-least // _PART_BYTES))
        self.system.put_file(str(path), self.path, **options)

    def get_file(self, path: str | Path) -> None:
        """Downloads to a file of this machine, piece by piece; `OSError` as the store's library raises it."""
        self.system.get_file(self.path, str(path), **_LIBRARIES[self.scheme].fetching)

    @property
    def bucket(self) -> str:
        """The bucket or container."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Location | None:
        """The location around this one; None of a bucket."""
        above = self.path.rpartition("/")[0]
        return Location(self.scheme, above) if above else None

    def __truediv__(self, inside: str) -> Location:
        """Returns what lies inside, by a path with slashes."""
        return Location(self.scheme, f"{self.path}/{inside}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"


@functools.cache
def _system(scheme: str) -> Any:
    import fsspec

    # Else gcsfs asks of each bucket what kind it is, by a client that needs credentials of its own.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    options: dict[str, Any] = {}
    if scheme != "memory":
        # Kept here; fsspec would give the same one again after endpoints or credentials have changed.
        options = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "gs" and "GCSFS_DEBUG" not in os.environ:
        # It writes a traceback of each request that it gives up; we say in a line what came of it.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    if scheme == "s3" and "AWS_MAX_ATTEMPTS" not in os.environ:
        options["config_kwargs"] = {"retries": {"mode": "standard", "max_attempts": _ATTEMPTS}}
    return fsspec.filesystem(scheme, **options)


def names_in(place: Location) -> list[str]:
    """Returns the names of what lies right inside a location; none where there is nothing.

    Raises:
      Exception: What the store's library raises (`refused` tells it).
    """
    place.system.invalidate_cache()
    try:
        found = place.system.ls(place.path, detail=False)
    except FileNotFoundError:
        return []
    # Object stores may list the folder itself.
    paths = [path.strip("/") for path in found]
    return [path.rpartition("/")[2] for path in paths if path != place.path]


def version_of(entry: Mapping[str, Any]) -> Any | None:
    """Returns what tells an object from the same written again, of its fsspec entry, if it has one."""
    return next((entry[name] for name in ("generation", "ETag", "etag") if entry.get(name)), None)


@contextlib.contextmanager
def refused(place: Location, doing: str) -> Iterator[None]:
    """Tells what a store refuses as a UsageError of one line, whatever its library raises.

    Args:
      place: Which is read or written.
      doing: `read` or `written`.
    """
    try:
        yield
    except SkewlessError:
        raise
    except Exception as error:
        raise UsageError(
            f"{place}: cannot be {doing}: {_reason_and_remedy(place, error)}"
        ) from error


def _reason_and_remedy(place: Location, error: Exception) -> str:
    kind = type(error).__name__
    if kind in ("NoCredentialsError", "DefaultCredentialsError", "CredentialUnavailableError"):
        return f"no credentials were found; set {_CREDENTIALS[place.scheme]}"
    if place.scheme == "gs" and str(getattr(error, "code", "")) == "401":
        # Without credentials gcsfs asks as nobody; what it has may have run out, too.
        return f"no credentials that are valid ({_line(error)}); set {_CREDENTIALS[place.scheme]}"
    if (
        isinstance(error, PermissionError)
        or kind in ("ClientAuthenticationError", "Forbidden")
        or (place.scheme == "gs" and str(error).startswith("Forbidden"))
    ):
        return (
            f"not permitted ({_line(error)}); check the credentials, and what they may do in "
            f"{place.bucket}"
        )
    if isinstance(error, FileNotFoundError) or kind == "ResourceNotFoundError":
        return f"there is no bucket {place.bucket}, or nothing under that name; check the URI"
    return f"{kind}: {_line(error)}; check the URI and the store, then try again"


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:200] + "…"
