"""Where bodies are read: small ones at once, larger ones on a thread, the largest in another process.

Parsing JSON holds Python's lock for as long as it takes, which for 16 MiB is seconds. In a process of
its own it holds nobody up; that process ends with the request that it works for.

    to the process    length, {"method", "signatures", "body": bytes}, body
    and back          length, {"signature", "rows", "inputs": [...]} or {"error"}, what the inputs hold
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from typing import IO, Any

import numpy as np
import orjson

from skewless.model.serve.reading.json_tensors import Input
from skewless.model.serve.reading.packed_texts import PackedTexts
from skewless.model.serve.reading.requests import Asked, Signatures, read
from skewless.model.serve.status import ServingError

__all__ = ["Reader", "work"]

# Up to here a body takes a few milliseconds: at once, and on a thread.
_AT_ONCE = 16 * 1024
_ON_A_THREAD = 256 * 1024
_LENGTH = 8
# Requests of people come first.
_NICER = 5


class Reader:
    """Reads bodies; to be used from one event loop."""

    def __init__(self) -> None:
        """Starts nothing before the first body that needs it."""
        self._thread = ThreadPoolExecutor(1, "reading")
        self._pipes = ThreadPoolExecutor(1, "pipes")
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()

    async def read(self, method: str, body: bytes, signatures: Signatures) -> Asked:
        """Returns what a body asks for (`read` of `requests`).

        Raises:
          ServingError: If it cannot be read.
        """
        if len(body) <= _AT_ONCE:
            return read(method, body, signatures)
        loop = asyncio.get_running_loop()
        if len(body) <= _ON_A_THREAD:
            return await loop.run_in_executor(self._thread, read, method, body, signatures)
        async with self._turn:
            job = loop.run_in_executor(self._pipes, self._ask, method, body, signatures)
            try:
                return await asyncio.shield(job)
            except asyncio.CancelledError:
                self._end()
                with contextlib.suppress(ServingError):
                    await job
                raise

    def close(self) -> None:
        """Ends the process and the threads."""
        self._end()
        self._thread.shutdown()
        self._pipes.shutdown()
        _let_go(self._process)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _ask(self, method: str, body: bytes, signatures: Signatures) -> Asked:
        """Runs on a thread of its own, which waits for the process."""
        if self._process is None or self._process.poll() is not None:
            _let_go(self._process)
            self._process = _started()
        pipes = self._process
        assert pipes.stdin is not None and pipes.stdout is not None
        try:
            _send(pipes.stdin, _question(method, signatures, len(body)), body)
            return _answer(pipes.stdout)
        except (OSError, EOFError) as error:
            pipes.kill()
            pipes.wait()
            raise ServingError(
                "UNAVAILABLE", "the process that reads large bodies ended; try again"
            ) from error


def work(asked: IO[bytes], answered: IO[bytes]) -> None:
    """Is what the process does, until nobody asks any more."""
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            question = orjson.loads(_received(asked))
            body = _exactly(asked, question["body"])
            signatures = {
                name: {key: Input(*given) for key, given in inputs.items()}
                for name, inputs in question["signatures"].items()
            }
            try:
                found = read(question["method"], body, signatures)
            except ServingError as error:
                said = str(error).encode("utf-8", "replace").decode()
                _send(answered, {"error": [error.code, said, error.http_status]})
            except MemoryError:
                _send(answered, {"error": ["RESOURCE_EXHAUSTED", "out of memory", 413]})
            else:
                _send_asked(answered, found)
                del found
            del body


def _started() -> subprocess.Popen[bytes]:
    # As this process finds its modules, so shall that one; the server's own arguments are not for it.
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    code = (
        f"import os, sys; os.nice({_NICER}); from {__name__} import work; "
        "work(sys.stdin.buffer, sys.stdout.buffer)"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,  # Ctrl-C is for the server, which lets go of it when it is done.
    )


def _let_go(process: subprocess.Popen[bytes] | None) -> None:
    """Waits for the end of a process that was killed, and closes its pipes."""
    if process is not None:
        with contextlib.suppress(OSError), process:
            pass


def _question(method: str, signatures: Signatures, size: int) -> dict[str, Any]:
    plain = {
        name: {key: astuple(given) for key, given in inputs.items()}
        for name, inputs in signatures.items()
    }
    return {"method": method, "signatures": plain, "body": size}


def _send_asked(pipe: IO[bytes], asked: Asked) -> None:
    inputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array in asked.inputs.items():
        if array.dtype == object:
            data, lengths = PackedTexts.parts_of(array)
            parts += [lengths.tobytes(), data]
            sizes = [lengths.nbytes, len(data)]
        else:
            parts.append(array.tobytes())
            sizes = [array.nbytes]
        inputs.append(
            {"name": name, "dtype": array.dtype.str, "shape": array.shape, "sizes": sizes}
        )
    _send(pipe, {"signature": asked.signature, "rows": asked.rows, "inputs": inputs}, *parts)


def _answer(pipe: IO[bytes]) -> Asked:
    told = orjson.loads(_received(pipe))
    if "error" in told:
        raise ServingError(*told["error"])
    inputs = {given["name"]: _array(given, pipe) for given in told["inputs"]}
    return Asked(told["signature"], inputs, told["rows"])


def _array(given: Mapping[str, Any], pipe: IO[bytes]) -> Any:
    parts = [_exactly(pipe, size) for size in given["sizes"]]
    if given["dtype"] != "|O":
        return np.frombuffer(parts[0], given["dtype"]).reshape(given["shape"])
    return PackedTexts(parts[1], np.frombuffer(parts[0], np.int64), tuple(given["shape"]))


def _send(pipe: IO[bytes], told: Mapping[str, Any], *parts: bytes) -> None:
    head = orjson.dumps(told)
    pipe.write(len(head).to_bytes(_LENGTH, "big") + head)
    for part in parts:
        pipe.write(part)
    pipe.flush()


def _received(pipe: IO[bytes]) -> bytes:
    return _exactly(pipe, int.from_bytes(_exactly(pipe, _LENGTH), "big"))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    found = pipe.read(size)
    if len(found) < size:
        raise EOFError
    return found
