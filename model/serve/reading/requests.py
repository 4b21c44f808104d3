"""What a body asks for: the signature and its inputs, by TensorFlow Serving's REST API.

The same in the server and in the process that reads large bodies, so it imports no TensorFlow.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skewless.model.serve.reading.json_documents import loads
from skewless.model.serve.reading.json_examples import example
from skewless.model.serve.reading.json_tensors import Input, of_columns, of_rows
from skewless.model.serve.status import ServingError

__all__ = ["DEFAULT_SIGNATURE", "EXAMPLES", "Asked", "Signatures", "read", "unpacked"]

Signatures = Mapping[str, Mapping[str, Input]]
DEFAULT_SIGNATURE = "serving_default"
# The one input of signatures that classify or regress.
EXAMPLES = "inputs"
_GZIP = 16 + zlib.MAX_WBITS
# Of a body: each costs a copy of what is left of its piece.
_MEMBERS = 10_000
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
      signature: Its name.
      inputs: [rows, ...] of each input given, or of anything else where columns were sent.
      rows: How many, where rows were sent; None where columns were.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    rows: int | None


def read(method: str, body: bytes, signatures: Signatures) -> Asked:
    """Returns what a body asks for.

    Args:
      method: `predict`, `classify` or `regress`.
      body: JSON.
      signatures: The inputs of each signature of the model.

    Raises:
      ServingError: If it is not JSON, or not what the method and the signature take.
    """
    document = loads(body)
    signature = _signature(document)
    if method != "predict":
        rows = _examples(document, method)
        return Asked(signature, {EXAMPLES: rows}, len(rows))
    declared = signatures.get(signature)
    if declared is None:
        raise _refused(f'Serving signature name: "{signature}" not found in signature def')
    if "instances" in document and "inputs" in document:
        raise _refused(
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
        )
    if "instances" in document:
        return Asked(signature, *of_rows(document["instances"], declared))
    if "inputs" in document:
        return Asked(signature, of_columns(document["inputs"], declared), None)
    raise _refused("Missing 'inputs' or 'instances' key")


def unpacked(body: bytes | bytearray, max_bytes: int) -> bytes:
    """Returns what a gzipped body holds: all of its members, one behind the other (RFC 1952, 2.2).

    Raises:
      ServingError: If that is more than `max_bytes`, or it is not gzip.
    """
    found, packed, place, members = bytearray(), memoryview(body), 0, 0
    unpacker = zlib.decompressobj(_GZIP)
    try:
        while place < len(packed):
            if unpacker.eof:
                unpacker, members = zlib.decompressobj(_GZIP), members + 1
                if members == _MEMBERS:
                    raise _refused(f"the body is more than {_MEMBERS} gzip members; send one")
            piece = packed[place : place + _PIECE]
            found += unpacker.decompress(piece, max_bytes + 1 - len(found))
            if len(found) > max_bytes:
                raise ServingError(
                    "INVALID_ARGUMENT",
                    f"the body is larger than {max_bytes} bytes (--max-body-bytes)",
                    413,
                )
            place += len(piece) - len(unpacker.unused_data)
    except zlib.error as error:
        raise _refused(f"the body is not gzip: {error}") from error
    if not unpacker.eof:
        raise _refused("the body is not gzip: it ends too early")
    return bytes(found)


def _signature(document: Mapping[str, Any]) -> str:
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise _refused("not formatted correctly. 'signature_name' key must be a string value.")
    return name or DEFAULT_SIGNATURE


def _examples(document: Mapping[str, Any], method: str) -> np.ndarray:
    if "examples" not in document:
        raise _refused(f"When method is {method}, key 'examples' is expected and was not found")
    rows = document["examples"]
    if not isinstance(rows, list):
        raise _refused("Expecting 'examples' value to be an list/array")
    if not rows:
        raise _refused("'examples' value is an empty array")
    # Two serialized messages in a row are one that holds the fields of both.
    context = example(document.get("context", {}))
    found = np.empty(len(rows), object)
    found[:] = [context + example(row) for row in rows]
    return found


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
