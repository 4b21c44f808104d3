"""What happens when a window drifts: someone is told, or the stream ends."""

from __future__ import annotations

import json
import logging
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit

from skewless.schemas.errors import UsageError
from skewless.schemas.records.windows import WindowManifest

__all__ = ["DriftGate"]

_LOGGER = logging.getLogger(__name__)
_PATIENCE = 10.0


@dataclass
class DriftGate:
    """Judges windows by their worst measure.

    Attributes:
      limit: Drift above it counts.
      fail: Ends the stream.
      webhook: Is sent `{"folder", "window", "limit", "drift"}` as JSON.
      failed: What ended the stream, in words; empty while nothing did.
    """

    limit: float
    fail: bool = False
    webhook: str | None = None
    failed: str = ""

    def __post_init__(self) -> None:
        """Refuses what nobody can be told at.

        Raises:
          UsageError: If the webhook is no URL of HTTP.
        """
        if self.webhook is not None and not _is_http(self.webhook):
            raise UsageError(
                f"--drift-webhook {self.webhook}: expected a URL such as https://host/path; correct it"
            )

    def passes(self, folder: str, manifest: WindowManifest) -> bool:
        """Judges one pane; whether the stream is to go on."""
        worst = manifest.drift.get("worst")
        if worst is None or worst["value"] <= self.limit:
            return True
        found = (
            f"{folder}: {worst['feature']} has drifted: {worst['measure']} "
            f"{worst['value']:.3f}, limit {self.limit:g}"
        )
        _LOGGER.warning(found)
        if self.webhook is not None:
            self._tell(self.webhook, folder, manifest)
        if self.fail:
            self.failed = found
        return not self.fail

    def _tell(self, url: str, folder: str, manifest: WindowManifest) -> None:
        """Sends the drift; a stream does not end because nobody listens."""
        document = {
            "folder": folder,
            "window": manifest.start.isoformat(),
            "limit": self.limit,
            "drift": manifest.drift,
        }
        request = urllib.request.Request(
            url, json.dumps(document).encode(), {"Content-Type": "application/json"}
        )
        try:
            urllib.request.urlopen(request, timeout=_PATIENCE).close()
        except (OSError, HTTPException) as error:
            # Not the whole URL: those of many services hold a secret.
            host = urlsplit(url).hostname
            _LOGGER.error("%s: could not be told of drift in %s: %s", host, folder, error)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
