"""Observing: each request, whatever its protocol, as a figure and as a line of the log."""

from __future__ import annotations

import logging
import time
import traceback
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.metrics import Metrics

__all__ = ["ObservedApp", "Observer"]

# What TensorFlow Serving counts as requests, by our names; and what it calls them.
_APIS = {
    "grpc": {"predict": "Predict", "classify": "Classify", "regress": "Regress"},
    "rest": {
        "predict": "predict", "classify": "classify", "regress": "regress", "metadata": "", "status": "",
    },
}  # fmt: skip
_OF_EXAMPLES = ("classify", "regress", "multi_inference")
_CODE_OF_STATUS = {404: "NOT_FOUND", 405: "UNIMPLEMENTED"}


class Observer:
    """Tells metrics and log of requests."""

    def __init__(self, metrics: Metrics) -> None:
        """Takes where figures go."""
        self._metrics = metrics

    def begin(self) -> None:
        """Counts a request in flight."""
        self._metrics.in_flight.inc()

    def end(
        self,
        protocol: str,
        method: str,
        code: str,
        seconds: float,
        model: str | None = None,
        rows: int | None = None,
        **fields: Any,
    ) -> None:
        """Counts it as answered; the log gets `fields` too.

        Args:
          protocol: rest or grpc.
          method: What was asked for.
          code: OK, or TensorFlow's error code.
          seconds: It took.
          model: Of those served, the one that was asked; None if there is no such model.
          rows: How many came.
        """
        counted = self._metrics.tensorflow_serving
        api = _APIS[protocol].get(method)
        if api is not None:
            counted.requested(model or "", api, protocol.upper(), code, seconds)
        if method in _OF_EXAMPLES and code == "OK":
            counted.examples(model or "", rows or 0)
        self._metrics.in_flight.dec()
        self._metrics.requests.labels(protocol, method, code).inc()
        self._metrics.request_seconds.labels(protocol, method).observe(seconds)
        level = logging.ERROR if code in ("INTERNAL", "UNKNOWN") else logging.INFO
        milliseconds = round(1e3 * seconds, 3)
        log(
            "request",
            level,
            protocol=protocol,
            method=method,
            code=code,
            ms=milliseconds,
            model=model,
            rows=rows,
            **fields,
        )

    def refused(self, status: int, peer: str) -> None:
        """Counts what was refused before there was a request: no HTTP, or too much of it."""
        code = "UNAVAILABLE" if status == 503 else "INVALID_ARGUMENT"
        self._metrics.requests.labels("rest", "other", code).inc()
        log("refused", status=status, peer=peer)

    def failed(self, error: Exception) -> None:
        """Writes an error that should not have been, with where it came from."""
        log("error", logging.ERROR, error="".join(traceback.format_exception(error)))


class ObservedApp:
    """An ASGI application whose requests are observed."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        """Wraps the application."""
        self._app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and watches its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        state = scope.setdefault("state", {})
        status = 499
        sent = 0

        async def watched(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                sent += len(message.get("body", b""))
            await send(message)

        self._observer.begin()
        try:
            await self._app(scope, receive, watched)
        finally:
            code = state.get("code") or (
                "OK" if status < 400 else _CODE_OF_STATUS.get(status, "UNKNOWN")
            )
            peer = scope.get("client")
            self._observer.end(
                "rest",
                state.get("method", "other"),
                "CANCELLED" if status == 499 else code,
                time.perf_counter() - begun,
                http=scope["method"],
                path=scope["path"],
                status=status,
                sent_bytes=sent,
                model=state.get("model"),
                rows=state.get("rows"),
                version=state.get("version"),
                peer=None if peer is None else f"{peer[0]}:{peer[1]}",
            )
