"""The server: HTTP by uvicorn and gRPC, in one event loop, from the first version to the last answer.

On SIGTERM or SIGINT it takes no new work, answers what it holds, for `timeout` seconds at most, and
ends; a second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from skewless.model.serve.app import Parts, application
from skewless.model.serve.batching import Batcher
from skewless.model.serve.batching_parameters import BatchingParameters
from skewless.model.serve.grpc_server.connection import GrpcLimits
from skewless.model.serve.grpc_server.server import GrpcServer
from skewless.model.serve.models.config_file import watch_config_file
from skewless.model.serve.models.model_config import load
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.monitoring.monitoring_config import DEFAULT_PATH
from skewless.model.serve.monitoring.observing import Observer
from skewless.model.serve.oip.messages import DESCRIPTOR
from skewless.model.serve.oip.service import add_inference_service
from skewless.model.serve.reading.reader import Reader
from skewless.model.serve.tensorflow_serving.prediction_service import add_services
from skewless.model.serve.transport.connections import (
    BoundedProtocol,
    ConnectionLimits,
    Connections,
)
from skewless.model.serve.transport.health import SERVICE, Health
from skewless.model.serve.transport.reflection import add_reflection
from skewless.model.serve.transport.tensorflow_services import TENSORFLOW_SERVICES
from skewless.model.serve.transport.tls import Tls
from skewless.model.serve.transport.tokens import AuthorizedCalls, Tokens
from skewless.schemas.errors import DataError, UsageError

__all__ = ["Options", "listening_at", "serve"]

_BACKLOG = 2048


@dataclass(frozen=True)
class Options:
    """How to serve.

    Attributes:
      model: An exported model, or a directory of numbered ones; None with `model_config_file`.
      model_name: What clients call it; by default, what its spec does.
      model_config_file: Of several models, in TensorFlow Serving's text format.
      config_poll: Seconds between looks at that file; 0 to read it once.
      labels_for_unavailable: Whether labels may be given to versions that are not loaded.
      host: The address to listen at.
      port: For HTTP; 0 for any that is free.
      grpc_port: For gRPC; 0 for any that is free, None for no gRPC.
      poll: Seconds between looks for a new version.
      monitoring_path: Where TensorFlow Serving's figures are; None for nowhere.
      batching: How requests are put together.
      max_body_bytes: Of a request.
      max_connections: HTTP connections at a time.
      timeout: Seconds from a request's head to its answer, and for the last ones when stopping.
      tls: What both ports show and want to see; None for neither.
      tokens: What requests must bring; None for nothing.
    """

    model: Path | None
    model_name: str | None = None
    model_config_file: Path | None = None
    config_poll: float = 0.0
    labels_for_unavailable: bool = False
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = 8500
    poll: float = 1.0
    monitoring_path: str | None = DEFAULT_PATH
    batching: BatchingParameters = field(default_factory=BatchingParameters)
    max_body_bytes: int = 16 * 1024 * 1024
    max_connections: int = ConnectionLimits.most
    timeout: float = 30.0
    tls: Tls | None = None
    tokens: Tokens | None = None

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
          UsageError: If one is out of its range.
        """
        for option, value in (("--poll", self.poll), ("--timeout", self.timeout)):
            if not value > 0:
                raise UsageError(f"{option}: expected more than 0 seconds, got {value:g}")
        if (self.model is None) == (self.model_config_file is None):
            raise UsageError("expected either MODEL or --model-config-file FILE")
        if self.model_config_file is not None and self.model_name is not None:
            raise UsageError(
                "--model-name: the file of --model-config-file names its models; leave one out"
            )
        if self.config_poll < 0:
            raise UsageError(
                f"--model-config-file-poll-wait-seconds: expected 0 or more, got {self.config_poll:g}"
            )
        for option, number in (
            ("--max-body-bytes", self.max_body_bytes),
            ("--max-connections", self.max_connections),
        ):
            if number < 1:
                raise UsageError(f"{option}: expected at least 1, got {number}")


async def serve(options: Options) -> None:
    """Serves until a signal says to stop.

    Raises:
      UsageError: If there is no such model or file of models, or an address is taken.
      DataError: If the model is the only one, not numbered, and cannot be loaded.
    """
    metrics = Metrics()
    models = _models(options, metrics)
    listening = listening_at(options.host, options.port)
    batcher = Batcher(options.batching, metrics)
    reader = Reader()
    observer = Observer(metrics)
    stop = asyncio.Event()
    app = application(
        Parts(models, batcher, reader, metrics, observer, stop.is_set),
        max_body_bytes=options.max_body_bytes,
        timeout=options.timeout,
        monitoring_path=options.monitoring_path,
        tokens=options.tokens,
    )
    http = _Server(_http_config(app, options, observer))
    rpc, rpc_port, health = _rpc_server(options, models, batcher, observer, stop.is_set)
    with _stopping_on_signals(stop, http):
        await _load(options, models)
        health.look()
        await rpc.start()
        watching = asyncio.create_task(_watch(options, models, health))
        answering = asyncio.create_task(http.serve(sockets=[listening]))
        _tell(options, models, listening, rpc_port)
        await asyncio.wait(
            [answering, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        log("stopping", seconds_at_most=options.timeout)
        http.should_exit = True
        watching.cancel()
        health.stop()
        await asyncio.gather(answering, rpc.stop(options.timeout))
    batcher.close()
    reader.close()
    log("stopped")


def _models(options: Options, metrics: Metrics) -> Models:
    if options.model is not None:
        return Models.one(options.model, metrics, options.model_name)
    return Models(metrics, options.labels_for_unavailable)


async def _load(options: Options, models: Models) -> None:
    if options.model_config_file is not None:
        models.begin_with(load(options.model_config_file))
        return
    await models.refresh()
    for versions in models:
        failure = versions.failure_of_only_version()
        if failure:
            raise DataError(f"{options.model}: {failure}")


async def _watch(options: Options, models: Models, health: Health) -> None:
    """Takes up versions and lists of models as they appear, and says what answers, for ever."""
    watching = [models.watch(options.poll), health.watch()]
    if options.model_config_file is not None and options.config_poll:
        watching.append(watch_config_file(options.model_config_file, models, options.config_poll))
    await asyncio.gather(*watching)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again when it is done."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _http_config(app: object, options: Options, observer: Observer) -> uvicorn.Config:
    connections = Connections(ConnectionLimits(most=options.max_connections), observer.refused)
    tls = options.tls
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=functools.partial(BoundedProtocol, connections),  # type: ignore[arg-type]
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_context_factory=None if tls is None else lambda config, default: tls.context,
        ws="none",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=max(1, round(options.timeout)),
    )


def listening_at(host: str, port: int, option: str = "--port") -> socket.socket:
    """Returns a socket that listens there.

    Raises:
      UsageError: If the address is taken or is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"--host {host} {option} {port}: cannot listen there: {error}; choose another"
        ) from error
    # Taken over by each connection. asyncio sets it on sockets that it opened alone, and an answer's
    # body would wait 40 ms for the client to acknowledge its head.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _rpc_server(
    options: Options,
    models: Models,
    batcher: Batcher,
    observer: Observer,
    stopping: Callable[[], bool],
) -> tuple[GrpcServer, int | None, Health]:
    limits = GrpcLimits(message_bytes=options.max_body_bytes, grace_seconds=options.timeout)
    refusal = () if options.tokens is None else (AuthorizedCalls(options.tokens, observer),)
    server = GrpcServer(limits, observer.failed, *refusal)
    add_services(server, models, batcher, observer, options.timeout, options.max_body_bytes)
    add_inference_service(server, models, batcher, observer, options.timeout, stopping)
    services = [*TENSORFLOW_SERVICES, DESCRIPTOR]
    health = Health(models, [service.full_name for service in services])
    health.add_to(server)
    add_reflection(server, [*services, SERVICE])
    if options.grpc_port is None:
        return server, None, health
    listening = listening_at(options.host, options.grpc_port, "--grpc-port")
    server.listen(listening, None if options.tls is None else options.tls.grpc_context)
    return server, listening.getsockname()[1], health


@contextlib.contextmanager
def _stopping_on_signals(stop: asyncio.Event, http: uvicorn.Server) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def received() -> None:
        if stop.is_set():
            http.force_exit = True
        stop.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, received)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _tell(options: Options, models: Models, listening: socket.socket, rpc_port: int | None) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    answering = {versions.name: versions.current.version for versions in models if versions.current}
    only = models.only
    log(
        "serving",
        logging.INFO if len(answering) == len(list(models)) else logging.WARNING,
        model=None if only is None else only.name,
        version=None if only is None else answering.get(only.name),
        models=None if only is not None else answering,
        http=f"{'https' if options.tls else 'http'}://{host}:{listening.getsockname()[1]}/",
        grpc=None if rpc_port is None else f"{host}:{rpc_port}",
    )
