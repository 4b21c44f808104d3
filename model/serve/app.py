"""The HTTP application: TensorFlow Serving's API, the page, health and figures.

/v1/…                                    the REST API
/v2, /v2/…                               the Open Inference Protocol
/, POST /explain                         the page
/healthz                                 200 while the process answers
/readyz                                  200 while a model is loaded and the server is not stopping
/metrics                                 figures for Prometheus
/monitoring/prometheus/metrics           those of TensorFlow Serving, under its names
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from skewless.model.serve.batching import Batcher
from skewless.model.serve.exchange import Bodies, answered
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.monitoring.observing import ObservedApp, Observer
from skewless.model.serve.monitoring.tensorflow_serving import CONTENT_TYPE
from skewless.model.serve.oip.rest import oip_api
from skewless.model.serve.page import explanations, page
from skewless.model.serve.reading.reader import Reader
from skewless.model.serve.tensorflow_serving.rest import rest_api
from skewless.model.serve.transport.tokens import AuthorizedApp, Tokens

__all__ = ["Parts", "application"]

# Smaller replies fit a packet as they are. The fastest level: those below 128 KiB are packed in the event loop.
_GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 1
# Of the one row that is explained.
_ROW_BYTES = 256 * 1024
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(frozen=True)
class Parts:
    """What answers requests.

    Attributes:
      models: Which answer.
      batcher: Computes.
      reader: Reads bodies.
      metrics: What `/metrics` shows.
      observer: Is told of each request.
      stopping: Whether the server takes no new work.
    """

    models: Models
    batcher: Batcher
    reader: Reader
    metrics: Metrics
    observer: Observer
    stopping: Callable[[], bool]

    def serving(self) -> bool:
        """Whether requests are answered."""
        return not self.stopping() and any(entry.current is not None for entry in self.models)


def application(
    parts: Parts,
    *,
    max_body_bytes: int,
    timeout: float,
    monitoring_path: str | None,
    tokens: Tokens | None,
) -> ASGIApp:
    """Returns the application.

    Args:
      parts: What answers.
      max_body_bytes: Of a request.
      timeout: Seconds from a request's head to its answer.
      monitoring_path: Where TensorFlow Serving's figures are; None for nowhere.
      tokens: What requests must bring; None for nothing.
    """
    models, batcher = parts.models, parts.batcher

    def guarded(endpoint: Callable) -> Callable:
        return answered(endpoint, parts.observer, timeout)

    bodies = Bodies(max_body_bytes)
    rest = guarded(rest_api(models, batcher, bodies, parts.reader))
    oip = guarded(oip_api(models, batcher, bodies, parts.serving))
    explain = explanations(models, Bodies(min(max_body_bytes, _ROW_BYTES)))
    routes = [
        Route("/v1/{path:path}", rest, methods=_METHODS),
        *(Route(path, oip, methods=_METHODS) for path in ("/v2", "/v2/{path:path}")),
        Route("/", guarded(page(models))),
        Route("/explain", guarded(explain), methods=["POST"]),
        *_watched(parts, monitoring_path),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_here})
    gzipped = GZipMiddleware(app, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL)
    guarded_app = gzipped if tokens is None else AuthorizedApp(gzipped, tokens)
    return ObservedApp(guarded_app, parts.observer)


def _watched(parts: Parts, monitoring_path: str | None) -> list[Route]:
    """Returns what says how the server is."""

    async def healthy(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        if parts.stopping():
            return JSONResponse({"status": "stopping"}, 503)
        loaded = {
            versions.name: str(versions.current.version)
            for versions in parts.models
            if versions.current is not None
        }
        if not loaded:
            return JSONResponse({"status": "no version is loaded"}, 503)
        if parts.models.only is not None:
            return JSONResponse({"status": "ok", "version": loaded[parts.models.only.name]})
        return JSONResponse({"status": "ok", "models": loaded})

    async def figures(request: Request) -> Response:
        return Response(parts.metrics.page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def figures_as_there(request: Request) -> Response:
        page = parts.metrics.tensorflow_serving.page()
        return Response(page, headers={"Content-Type": CONTENT_TYPE})

    routes = [
        Route("/healthz", healthy),
        Route("/readyz", ready),
        Route("/metrics", figures),
    ]
    if monitoring_path is not None:
        routes.append(Route(monitoring_path, figures_as_there))
    return routes


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = f"{error.detail}: {request.method} {request.url.path}"
    return JSONResponse({"error": said}, error.status_code, headers=error.headers)
