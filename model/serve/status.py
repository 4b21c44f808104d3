"""How a request ends: TensorFlow's error codes, which are gRPC's, and their HTTP statuses."""

from __future__ import annotations

import re

import tensorflow as tf

__all__ = ["HTTP_STATUS", "ServingError", "of_tensorflow"]

# As TensorFlow Serving answers them.
HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_NODES = re.compile(r"\{\{function_node [^}]*\}\}\s*|\s*\[\[\{\{.*|\s*\[Op:.*", re.DOTALL)


class ServingError(Exception):
    """A request that is refused or failed; `code` is a key of `HTTP_STATUS`."""

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = HTTP_STATUS[code] if http_status is None else http_status


def of_tensorflow(error: tf.errors.OpError) -> ServingError:
    """Returns the error that a graph ended with, without the names of its nodes."""
    return ServingError(_NAMES[error.error_code], _NODES.sub("", error.message))
