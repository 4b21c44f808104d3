"""Sources of a stream: what `--source` names.

dir:///path/*.jsonl      new files, each once; the format by its ending, as for `preprocess`
s3:// gs:// az://         the same in a bucket
kafka://broker/topic     messages, a row each
pubsub://project/topic   messages, a row each
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from skewless.schemas.errors import UsageError, nearest

__all__ = ["Source", "parse_source"]

_SHAPES = {
    "dir": "dir:///path/*.jsonl",
    "s3": "s3://bucket/path/*.jsonl",
    "kafka": "kafka://broker:9092/topic",
    "pubsub": "pubsub://project/topic",
}
# Schemes of files that are named by their URI.
_BUCKETS = ("s3", "gs", "az", "memory")


@dataclass(frozen=True)
class Source:
    """A parsed `--source`; `place` is the glob, the broker or the project."""

    kind: Literal["dir", "kafka", "pubsub"]
    place: str
    topic: str = ""

    @property
    def name(self) -> str:
        """What rows of it are said to come from."""
        return self.place if self.kind == "dir" else f"{self.kind}://{self.place}/{self.topic}"


def parse_source(given: str) -> Source:
    """Reads a source's URI.

    Raises:
      UsageError: If it is not one of the shapes above.
    """
    scheme, separator, rest = given.partition("://")
    if scheme in _BUCKETS and rest:
        return Source("dir", given)
    if not separator or scheme not in _SHAPES:
        raise UsageError(
            f"--source {given}: expected {', '.join(_SHAPES.values())}{nearest(scheme, _SHAPES)}"
        )
    if scheme == "dir":
        if not rest:
            raise UsageError(f"--source {given}: names no files; write {_SHAPES['dir']}")
        return Source("dir", rest)
    place, _, topic = rest.rstrip("/").partition("/")
    if "@" in place:
        # Not what it holds: names of sources go into manifests, rejected rows and logs.
        raise UsageError(
            f"--source {scheme}://…@{place.rpartition('@')[2]}/{topic}: expected {_SHAPES[scheme]}, got a "
            "login; give it as options of Kafka's client (docs/streaming.md)"
        )
    if not place or not topic or set(topic) & set("/?#"):
        raise UsageError(f"--source {given}: expected {_SHAPES[scheme]}")
    return Source("kafka" if scheme == "kafka" else "pubsub", place, topic)
