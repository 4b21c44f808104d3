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
        code = "CANCELLED"
        self._observer.begin()
        try:
            reply = await asyncio.wait_for(work(told), limit)
            code = "OK"
            return reply
        except ServingError as error:
            code = error.code
            await context.abort(grpc.StatusCode[code], str(error))
        except asyncio.TimeoutError:
            code = "DEADLINE_EXCEEDED"
            await context.abort(
                grpc.StatusCode[code], f"no answer within {limit:g} seconds (--timeout)"
            )
        except Exception as error:
            if code != "CANCELLED":
                raise
            code = "INTERNAL"
            self._observer.failed(error)
            await context.abort(
                grpc.StatusCode[code], "Internal error; the server's log tells more"
            )
        finally:
            seconds = time.perf_counter() - begun
            self._observer.end("grpc", method, code, seconds, peer=context.peer(), **told)


def version_of(spec: model_pb2.ModelSpec) -> int | None:
    """Returns the version that is asked for by its number, or None."""
    return spec.version.value if spec.HasField("version") else None
