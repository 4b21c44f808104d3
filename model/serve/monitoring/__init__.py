"""What an operator sees of the server: figures for Prometheus and lines of the log."""

from __future__ import annotations
