"""A file of models that is looked at again and again."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from skewless.model.serve.models.model_config import load
from skewless.model.serve.models.registry import Models
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import UsageError

__all__ = ["watch_config_file"]


async def watch_config_file(path: Path, models: Models, poll: float) -> None:
    """Serves what the file lists, for ever, `poll` seconds after the last look.

    What cannot be read or done is said once, and tried again.
    """
    told = ""
    while True:
        await asyncio.sleep(poll)
        try:
            configs = await asyncio.to_thread(load, path)
            if configs != models.configs:
                log("models reloading", path=path, models=[config.name for config in configs])
                await models.reload(configs)
                log("models reloaded", path=path)
            told = ""
        except (ServingError, UsageError) as error:
            if str(error) != told:
                log("models not reloaded", logging.ERROR, path=path, error=error)
            told = str(error)
