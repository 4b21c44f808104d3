"""One gRPC call, whatever its service: timed, bounded, and with its errors under their codes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from tensorflow_serving.apis import model_pb2

from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.status import ServingError

__all__ = ["Service", "version_of"]

# A day: the clock of the loop takes no infinity.
_LONGEST_SECONDS = 86_400.0


class Service:
    """What every service does with a call."""

    _observer: Observer
    _timeout: float

    async def answer(
        self,
        context: grpc.aio.ServicerContext,
        method: str,
        work: Callable[[dict[str, Any]], Awaitable[Any]],
        limited: bool = True,
    ) -> Any:
        """Returns what `work` does, or ends the call with its error.

        Args:
          context: Of the call.
          method: What figures and log call it.
          work: Answers; it may put into its argument what the log shall hold.
          limited: Whether `--timeout` ends it; the client's own deadline does in any case.
        """
        begun = time.perf_counter()
        told: dict[str, Any] = {}
        left = context.time_remaining()
        longest = self._timeout if limited else math.inf
        limit = longest if left is None else min(left, longest)
        late = _Deadline(limit)
        code = "CANCELLED"
        self._observer.begin()
        try:
            with late:
                reply = await work(told)
            code = "OK"
            return reply
        except ServingError as error:
            code = error.code
            await context.abort(grpc.StatusCode[code], str(error))
        except asyncio.CancelledError:
            if not late:
                raise
            code = "DEADLINE_EXCEEDED"
            await context.abort(
                grpc.StatusCode[code], f"no answer within {limit:g} seconds (--timeout)"
            )
        except Exception as error:
            code = "INTERNAL"
            self._observer.failed(error)
            await context.abort(
                grpc.StatusCode[code], "Internal error; the server's log tells more"
            )
        finally:
            seconds = time.perf_counter() - begun
            self._observer.end("grpc", method, code, seconds, peer=context.peer(), **told)


class _Deadline:
    """Cancels the task whose block it is about after some seconds, and is true if it did.

    `asyncio.wait_for` gives the work a task of its own, which each call pays for.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._passed = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._timer = asyncio.get_running_loop().call_later(
            min(self._seconds, _LONGEST_SECONDS), self._end, task
        )

    def __exit__(self, *raised: object) -> None:
        self._timer.cancel()

    def __bool__(self) -> bool:
        return self._passed

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._passed = True
        task.cancel()


def version_of(spec: model_pb2.ModelSpec) -> int | None:
    """Returns the version that is asked for by its number, or None."""
    return spec.version.value if spec.HasField("version") else None
