"""Bearer tokens: who has none of the file's is answered 401 or UNAUTHENTICATED.

Health stays open: /healthz, /readyz, /v2/health/live and /ready, grpc.health.v1, ServerLive and ServerReady.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from skewless.model.serve.exchange import error_response
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import UsageError

__all__ = ["AuthorizedApp", "AuthorizedCalls", "Tokens"]

_OPEN_PATHS = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
_OPEN_METHODS = (
    "/grpc.health.v1.Health/",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
_Trace = tuple[int, int, int]
_REFUSAL = "expected a token of --token-file: Authorization: Bearer TOKEN"


class Tokens:
    """The tokens of a file, one a line, which is read again when it changes."""

    def __init__(self, path: str | Path) -> None:
        """Reads the file.

        Raises:
          UsageError: If there is no such file, or no token in it.
        """
        self._path = Path(path)
        try:
            self._trace: _Trace | None = self._now()
            self._tokens = self._read()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--token-file {path}: {error}; expected a file with a token a line"
            ) from error

    def accept(self, authorization: str) -> bool:
        """Returns whether a request's `Authorization` names one of them."""
        self._follow()
        scheme, _, given = authorization.partition(" ")
        # All are compared, each in a time that does not tell how much of it was right.
        sent = given.strip().encode("latin-1", "replace")
        matches = [hmac.compare_digest(token, sent) for token in self._tokens]
        return scheme.lower() == "bearer" and any(matches)

    def _follow(self) -> None:
        """Takes what the file holds now; what it held stays good while it cannot be read."""
        try:
            trace = self._now()
            if trace == self._trace:
                return
            self._trace = trace
            self._tokens = self._read()
        except (OSError, ValueError) as error:
            if self._trace is not None:
                log("tokens not read", logging.ERROR, path=self._path, error=error)
            self._trace = None
            return
        log("tokens read", path=self._path, tokens=len(self._tokens))

    def _now(self) -> _Trace:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> list[bytes]:
        lines = self._path.read_text(encoding="utf-8").splitlines()
        tokens = [line.strip().encode("ascii") for line in lines if line.strip()]
        if not tokens:
            raise ValueError("it holds no token")
        return tokens


class AuthorizedApp:
    """An ASGI application that answers those with a token."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        """Wraps the application."""
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] == "http" and scope["path"] not in _OPEN_PATHS:
            headers = dict(scope["headers"])
            if not self._tokens.accept(headers.get(b"authorization", b"").decode("latin-1")):
                scope.setdefault("state", {})["code"] = "UNAUTHENTICATED"
                refusal = error_response(ServingError("UNAUTHENTICATED", _REFUSAL))
                refusal.headers["WWW-Authenticate"] = "Bearer"
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class AuthorizedCalls:
    """Says which gRPC calls come without a token."""

    def __init__(self, tokens: Tokens, observer: Observer) -> None:
        """Takes who is told of refusals."""
        self._tokens, self._observer = tokens, observer

    def __call__(self, method: str, headers: Mapping[bytes, bytes], peer: str) -> str | None:
        """Returns why a call is refused, or None."""
        if method.startswith(_OPEN_METHODS):
            return None
        if self._tokens.accept(headers.get(b"authorization", b"").decode("latin-1")):
            return None
        self._observer.begin()
        self._observer.end("grpc", "other", "UNAUTHENTICATED", 0.0, peer=peer)
        return _REFUSAL
