"""TensorFlow, Keras and Beam, loaded without what they load only because it happens to be installed.

Each tries to load other libraries and does without those that are absent: TensorFlow loads JAX for
TensorFlow Lite, and all of Keras to register its optimizers; Beam loads what speaks to three clouds.
That is half of the seconds of a start. Here they are told that those are absent, while they load and
no longer: whoever asks for one afterwards gets it.

A command does this before its own modules are loaded; a process that belongs to somebody else, who
imports `skewless`, is left alone.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Literal, TypeAlias

__all__ = ["Library", "has_clouds", "load_spared"]

Library: TypeAlias = Literal["tensorflow", "keras", "apache_beam"]

_CLOUDS = (
    "apache_beam.io.gcp.gcsfilesystem",
    "apache_beam.io.aws.s3filesystem",
    "apache_beam.io.azure.blobstoragefilesystem",
)
# Each is guarded, where it is imported, by `except ImportError`: to be read again for new versions.
_REFUSED: dict[Library, frozenset[str]] = {
    "tensorflow": frozenset(
        {"PIL", "googleapiclient", "h5py", "jax", "keras.src", "pandas", "scipy", "tf_keras.src"}
    ),
    "keras": frozenset({"PIL", "jax", "pandas", "scipy", "sklearn"}),
    "apache_beam": frozenset({"pandas", "torch"}),
}
_REFUSED_WITHOUT_CLOUDS = frozenset(
    {"apache_beam.io.aws", "apache_beam.io.azure", "apache_beam.io.gcp", "google.cloud.dataflow"}
)


def load_spared(libraries: Sequence[Library], *, clouds: bool) -> None:
    """Loads libraries, in this order, without what they can do without.

    What is loaded already, or not installed, stays as it is.

    Args:
      libraries: What the command is going to import.
      clouds: Whether Beam is to know the file systems and the runner of clouds.
    """
    for library in libraries:
        refused = _REFUSED[library]
        if library == "apache_beam" and not clouds:
            refused |= _REFUSED_WITHOUT_CLOUDS
        try:
            with _absent(refused):
                importlib.import_module(library)
        except ModuleNotFoundError as error:
            # A host that only serves has no Beam; whoever then needs it says so.
            if error.name != library:
                raise
    if "apache_beam" in libraries and clouds:
        for name in _CLOUDS:  # An earlier command of this process may have done without.
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def has_clouds() -> bool:
    """Whether Beam, if it is loaded, was loaded with the file systems of clouds."""
    return any(name in sys.modules for name in _CLOUDS)


class _Absent:
    """Finds no module of the given names, nor lets others look for them."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@contextlib.contextmanager
def _absent(names: Collection[str]) -> Iterator[None]:
    finder = _Absent(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
