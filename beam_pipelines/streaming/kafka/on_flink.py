"""Kafka's options for Flink, whose client is Java's: those of librdkafka by Java's names.

Certificates and keys go as text, so that no TaskManager needs a file. Values are in the job that Flink is given, and
nowhere else: no log, no error and no file of the output holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from skewless.beam_pipelines.streaming.kafka.client import refuse_given, security_options
from skewless.beam_pipelines.streaming.source_uri import Source
from skewless.schemas.errors import UsageError

__all__ = ["consumer_options"]

_LOGINS = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
_LOGIN = ("sasl.username", "sasl.password")
# Endings of librdkafka's names: of a file, and of a text.
_FILE, _INLINE = ".location", ".pem"
# By librdkafka's name: Java's, and the one that says how the text is to be read.
_TEXTS = {
    "ssl.ca": ("ssl.truststore.certificates", "ssl.truststore.type"),
    "ssl.certificate": ("ssl.keystore.certificate.chain", "ssl.keystore.type"),
    "ssl.key": ("ssl.keystore.key", "ssl.keystore.type"),
}
# What Java's client has no such switch for.
_UNKNOWN = (
    "enable.ssl.certificate.verification",
    "ssl.ca.certificate.stores",
    "ssl.engine.location",
)


def consumer_options(source: Source) -> dict[str, str]:
    """Returns what Flink's consumer of a topic is given.

    Raises:
      UsageError: If an option cannot be one of Java's client, or a file that it names cannot be read.
    """
    ours = {
        "bootstrap.servers": source.place,
        "auto.offset.reset": "earliest",
        "group.id": f"skewless-{source.topic}",
    }
    given = security_options(source)
    refuse_given(source, given, {*ours, "enable.auto.commit"})
    for name in given:
        if name in _UNKNOWN:
            raise UsageError(
                f"--source {source.name}: Flink's client of Kafka knows no {name}; take it out, or leave "
                "--runner out"
            )
    return {**_in_java(source, given), **ours}


def _in_java(source: Source, given: Mapping[str, str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in given.items():
        text, java = _text_of(name)
        if java is not None:
            content = _read(source, name, value) if text is _FILE else value
            options[java[0]] = content
            options[java[1]] = "PEM"
        elif name in ("security.protocol", "sasl.mechanisms", "sasl.mechanism"):
            options[name.removesuffix("s")] = value.upper()
        elif name == "ssl.endpoint.identification.algorithm":
            options[name] = "" if value == "none" else value
        elif name not in _LOGIN:
            options[name] = value
    if any(name in given for name in _LOGIN):
        options["sasl.jaas.config"] = _login(source, given, options.get("sasl.mechanism", ""))
    return options


def _text_of(name: str) -> tuple[str, tuple[str, str] | None]:
    for ending in (_FILE, _INLINE):
        if name.endswith(ending):
            return ending, _TEXTS.get(name.removesuffix(ending))
    return "", None


def _read(source: Source, name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--source {source.name}: {name} {path}: expected a file of PEM, got {error}"
        ) from error


def _login(source: Source, given: Mapping[str, str], mechanism: str) -> str:
    if mechanism not in _LOGINS:
        raise UsageError(
            f"--source {source.name}: sasl.mechanism: expected {', '.join(_LOGINS)} beside sasl.username "
            f"and sasl.password, got {mechanism or 'none'}; for another give sasl.jaas.config, as Java's "
            "client has it"
        )
    for name in _LOGIN:
        if name not in given:
            raise UsageError(f"--source {source.name}: {name} is missing; add it to the other one")
    user, password = (_quoted(given[name]) for name in _LOGIN)
    return f"{_LOGINS[mechanism]} required username={user} password={password};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
