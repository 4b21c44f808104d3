"""Kafka's client on this machine: where its security comes from, and what it says where that is refused.

Options are those of the client, librdkafka, by its own names. They come from the file that `KAFKA_CLIENT_CONFIG`
names, lines of `name=value`, and from variables such as `KAFKA_SASL_PASSWORD` for `sasl.password`, which
go before it. Each process reads them itself: no pipeline, no command line and no message holds one.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from skewless.beam_pipelines.streaming.source_uri import Source
from skewless.schemas.errors import UsageError

__all__ = ["KafkaClient", "refuse_given", "security_options"]

_FILE = "KAFKA_CLIENT_CONFIG"
# Other variables that begin with KAFKA_ are of brokers, containers and services.
_VARIABLES = ("KAFKA_SECURITY_", "KAFKA_SASL_", "KAFKA_SSL_")
_SECRET = ("password", "secret", "jaas", "pem", "key", "token")


class KafkaClient:
    """A consumer that joins no group and leaves nothing at the broker.

    Attributes:
      consumer: The library's.
    """

    def __init__(self, source: Source) -> None:
        """Makes the consumer; no broker is asked yet.

        Args:
          source: The broker and the topic.

        Raises:
          UsageError: If Kafka's client is not installed, or takes no such options.
        """
        try:
            from confluent_kafka import Consumer, KafkaException
        except ImportError as error:
            raise UsageError(
                f"--source {source.name}: Kafka's client is not installed; "
                "run `pip install 'skewless[kafka]'`"
            ) from error
        self._source, self._heard = source, ""
        self._options = security_options(source)
        ours = {
            "bootstrap.servers": source.place,
            # Asked for by the client; no group is joined and no offset is left at the broker.
            "group.id": f"skewless-{source.topic}",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "log_level": 2,
        }
        refuse_given(source, self._options, ours)
        try:
            self.consumer: Any = Consumer({**self._options, **ours, "error_cb": self._hear})
        except KafkaException as error:
            # The library's own text may hold a value.
            raise UsageError(
                f"--source {source.name}: Kafka's client takes no such options: "
                f"{self._without_secrets(error.args[0].str())}; correct {_FILE} or the variables"
            ) from None

    def no_answer(self, error: Exception) -> UsageError:
        """Returns what to say of a broker that does not answer, or not to us."""
        self.consumer.poll(0)  # Which hands on what the client has met.
        why = self._heard or error.args[0].str()
        return UsageError(
            f"--source {self._source.name}: the broker does not answer ({self._without_secrets(why)}); "
            f"check its address, and {_FILE} or the variables that begin with "
            f"{', '.join(_VARIABLES)}"
        )

    def _hear(self, error: Any) -> None:
        """Keeps what the client has met last, unless it says less than what it met before."""
        if not self._heard or error.name() != "_ALL_BROKERS_DOWN":
            self._heard = str(error.str())

    def _without_secrets(self, text: str) -> str:
        for name, value in self._options.items():
            if value and any(part in name for part in _SECRET):
                text = text.replace(value, "…")
        return text


def security_options(source: Source) -> dict[str, str]:
    """Returns the client's options that the file and the environment give.

    Raises:
      UsageError: If the file cannot be read, or a line of it is none.
    """
    options: dict[str, str] = {}
    path = os.environ.get(_FILE)
    if path:
        options.update(_lines(source, path))
    for variable, value in os.environ.items():
        if variable.startswith(_VARIABLES):
            options[variable.removeprefix("KAFKA_").lower().replace("_", ".")] = value
    return options


def refuse_given(source: Source, options: Iterable[str], ours: Container[str]) -> None:
    """Refuses options that are ours to give.

    Raises:
      UsageError: Naming the first.
    """
    for name in options:
        if name in ours:
            raise UsageError(
                f"--source {source.name}: {name} is given by skewless itself; take it out of the "
                "options of Kafka's client"
            )


def _lines(source: Source, path: str) -> Iterator[tuple[str, str]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--source {source.name}: {_FILE} {path}: expected a file of name=value lines, got {error}"
        ) from error
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith(("#", "!")):
            continue
        if not equals:
            # Not what it holds, which may be a password.
            raise UsageError(
                f"--source {source.name}: {_FILE} {path}:{number}: expected name=value"
            )
        yield name.strip(), value.strip()
