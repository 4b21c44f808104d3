"""How a request ends: TensorFlow's error codes, which are gRPC's, and their HTTP statuses."""

from __future__ import annotations

__all__ = ["CODES", "HTTP_STATUS", "ServingError"]

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
# By their numbers, in whose order they stand above.
CODES = tuple(HTTP_STATUS)


class ServingError(Exception):
    """A request that is refused or failed; `code` is a key of `HTTP_STATUS`."""

    def __init__(self, code: str, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.http_status = HTTP_STATUS[code] if http_status is None else http_status
