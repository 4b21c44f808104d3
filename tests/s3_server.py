"""An S3 server of moto's on loopback, for tests, which can answer badly: `python -m tests.s3_server`.

Prints the port it listens at. With `--faults SHARE` that share of the requests is answered by 503, or
has its connection cut: before anything is done, or after, so that the answer alone is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Faulty:
    """A WSGI application before another one."""

    def __init__(self, inner: Callable[..., Any], share: float, read_only: bool) -> None:
        self._inner, self._share, self._random = inner, share, random.Random(1)
        self._read_only = read_only

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        # A bucket's own path has no second slash; it may be made all the same.
        if self._read_only and environ["REQUEST_METHOD"] == "PUT" and "/" in _key(environ):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        kind = self._random.random() / self._share if self._share else 1.0
        if kind < 0.5:
            # No more: the stream goes on for as long as the client keeps the connection.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>ServiceUnavailable</Code><Message>injected</Message></Error>"]
        if kind < 0.75:
            _cut(environ)
        answer = self._inner(environ, start)
        if kind < 1.0:
            body = b"".join(answer)
            _cut(environ)
            return [body]
        return answer  # type: ignore[no-any-return]


def _key(environ: dict[str, Any]) -> str:
    return str(environ["PATH_INFO"]).strip("/")


def _cut(environ: dict[str, Any]) -> None:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serves until the process is ended."""
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--read-only", action="store_true", help="refuse to put any object")
    given = parser.parse_args()
    inner = DomainDispatcherApplication(create_backend_app)
    application = Faulty(inner, given.faults, given.read_only)
    server = make_server(
        "127.0.0.1", 0, application, threaded=True, request_handler=MotoRequestHandler
    )
    print(server.port, flush=True)
    server.serve_forever()


@contextlib.contextmanager
def s3_server(*arguments: str) -> Iterator[dict[str, str]]:
    """Runs a server with a bucket named `bucket`; gives the environment variables for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.s3_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        _make_bucket(variables)
        yield variables
    finally:
        process.kill()
        process.wait()


def _make_bucket(variables: dict[str, str]) -> None:
    script = "import boto3; boto3.client('s3').create_bucket(Bucket='bucket')"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, **variables}, check=True)


if __name__ == "__main__":
    main()
