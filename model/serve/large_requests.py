"""Large requests: computed part by part on a thread of their own, so that no other waits for one.

They take turns by the part. One part, and so what a turn takes, is bounded in rows and in values.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from skewless.model.serve.models.servable import Arrays, Cancellation
from skewless.model.serve.reading.packed_texts import PackedTexts
from skewless.model.serve.status import ServingError

__all__ = ["Compute", "LargeRequests", "joined"]

# What is more is large: values (strings and numbers), and bytes of strings.
_VALUES = 100_000
_BYTES = 256 * 1024
# Of one answer; `transform_features` may say a hundred times what it was asked.
_ANSWER_BYTES = 128 * 1024 * 1024
Compute = Callable[[Arrays, Cancellation], Arrays]


class LargeRequests:
    """Those of one server; to be used from one event loop."""

    def __init__(self, rows: int, waiting: int) -> None:
        """Starts no thread before the first.

        Args:
          rows: Of a part at most, and of a request that is not large.
          waiting: Requests at a time, one of which is being computed.
        """
        self._rows, self._most = rows, waiting
        self._thread = ThreadPoolExecutor(1, "large")
        self._turn = asyncio.Lock()
        self._held = 0

    def is_large(self, inputs: Arrays, rows: int) -> bool:
        """Returns whether a request should be computed here."""
        if rows > self._rows or any(isinstance(value, PackedTexts) for value in inputs.values()):
            return True
        if sum(value.size for value in inputs.values()) > _VALUES:
            return True
        texts = (value for value in inputs.values() if value.dtype == object)
        return sum(sum(map(len, value.ravel().tolist())) for value in texts) > _BYTES

    async def run(self, compute: Compute, inputs: Arrays, rows: int) -> Arrays:
        """Returns the outputs for the rows of one request.

        Raises:
          ServingError: If too many wait, a row holds too many values, the answer becomes too large, or
            the graph refuses the rows.
        """
        if self._held >= self._most:
            raise ServingError(
                "UNAVAILABLE",
                f"{self._held} large requests wait (max_enqueued_batches); try again later",
            )
        wide = sum(value.size // max(1, len(value)) for value in inputs.values())
        if wide > _VALUES:
            raise ServingError(
                "INVALID_ARGUMENT", f"a row holds {wide} values; {_VALUES} are taken at most", 413
            )
        step = min(self._rows, _VALUES // max(1, wide))
        self._held += 1
        try:
            parts: list[Arrays] = []
            for begin in range(0, rows, step):
                given = {name: value[begin : begin + step] for name, value in inputs.items()}
                async with self._turn:
                    parts.append(await self._part(compute, given))
                if _bytes(parts[-1]) * len(parts) > _ANSWER_BYTES:
                    raise ServingError(
                        "RESOURCE_EXHAUSTED",
                        f"the answer holds more than {_ANSWER_BYTES} bytes; ask for fewer rows at a time",
                    )
            return parts[0] if len(parts) == 1 else await asyncio.to_thread(joined, parts)
        finally:
            self._held -= 1

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    async def _part(self, compute: Compute, given: Arrays) -> Arrays:
        cancellation = Cancellation()
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._thread, compute, given, cancellation)
        try:
            return await job
        except asyncio.CancelledError:
            cancellation.cancel()
            raise


def joined(parts: list[Arrays]) -> Arrays:
    """Returns the rows of all parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _bytes(outputs: Arrays) -> int:
    return sum(value.nbytes for value in outputs.values())
