"""The registry: the models that are served, by name.

It begins with one model, or with those of a ModelServerConfig, and takes another such list while it
runs: models that are named no more go, new ones are loaded, and those that stay answer meanwhile. What
cannot be loaded stops no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from skewless.model.serve.models.model_config import ModelConfig
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.models.versions import Versions, VersionStatus
from skewless.model.serve.monitoring.event_log import log
from skewless.model.serve.monitoring.metrics import Metrics
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import UsageError

__all__ = ["Models"]

_Labels = Mapping[str, Mapping[str, int]]


class Models:
    """The models of one server; to be used from one event loop."""

    def __init__(self, metrics: Metrics, labels_for_unavailable: bool = False) -> None:
        """Has no models yet.

        Args:
          metrics: Is told of loads.
          labels_for_unavailable: Whether a label may be given to a version that is not loaded.
        """
        self._metrics = metrics
        self._labels_for_unavailable = labels_for_unavailable
        self._models: dict[str | None, Versions] = {}
        self._gone: dict[str | None, Versions] = {}
        self._labels: _Labels = {}
        self._configs: tuple[ModelConfig, ...] | None = None
        self._begun = False
        self._reloading = asyncio.Lock()
        self._loading = asyncio.Lock()

    @classmethod
    def one(cls, directory: str | Path, metrics: Metrics, name: str | None = None) -> Models:
        """Returns a registry of one model, which is not yet loaded.

        Args:
          directory: An exported model, or a directory of numbered ones, which may still be empty.
          metrics: Is told of loads.
          name: What clients call the model; by default, what its spec does.

        Raises:
          UsageError: If there is no such directory.
        """
        root = Path(directory)
        if not root.is_dir():
            raise UsageError(
                f"{root}: expected an exported model or a directory of numbered ones, "
                "found no directory; `skewless export RUN --output MODEL` leaves one"
            )
        models = cls(metrics)
        config = ModelConfig(name, root)
        models._models[name] = Versions(config, metrics, models._loading)
        return models

    def __iter__(self) -> Iterator[Versions]:
        """Yields the models, in the order of the list."""
        return iter(tuple(self._models.values()))

    @property
    def configs(self) -> tuple[ModelConfig, ...] | None:
        """The last list of models; None if there is but the one of the command line."""
        return self._configs

    @property
    def only(self) -> Versions | None:
        """The model, if there is but one."""
        models = list(self._models.values())
        return models[0] if len(models) == 1 else None

    def of(self, name: str) -> Versions | None:
        """Returns the versions of a model, or None if there is no such model."""
        found = self._models.get(name)
        if found is not None:
            return found
        unnamed = self._models.get(None)
        return unnamed if unnamed is not None and unnamed.name == name else None

    def known(self, name: str) -> str | None:
        """Returns the name if there is such a model: clients may ask for any, figures must end."""
        return None if self.of(name) is None else name

    def get(self, name: str, version: int | None = None, label: str = "") -> Servable:
        """Returns the version to answer with; who holds it keeps it loaded.

        Args:
          name: Of the model.
          version: Its number; by default, the newest that is loaded.
          label: Or its label.

        Raises:
          ServingError: If there is no such model, version or label, or it is not loaded.
        """
        if not name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        if label:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise ServingError(
                    "INVALID_ARGUMENT", f"Unrecognized servable version label: {label}"
                )
        versions = self.of(name)
        servable = None
        if versions is not None:
            servable = versions.current if version is None else versions.get(version)
        if servable is None:
            asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")
        return servable

    def statuses(self, name: str, version: int | None = None) -> dict[int, VersionStatus]:
        """Returns what became of each version of a model, the newest first, or of one.

        Raises:
          ServingError: If there is no such model or version.
        """
        versions = self.of(name) or self._gone.get(name)
        known = {} if versions is None else versions.statuses
        if version is None:
            if known:
                return known
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        if version in known:
            return {version: known[version]}
        raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")

    async def refresh(self) -> None:
        """Takes up the versions of all models as they are now; one not readable stops no other."""
        for versions in self:
            try:
                await versions.refresh()
            except OSError as error:
                log("model not readable", logging.WARNING, model=versions.name, error=error)

    def begin_with(self, configs: Sequence[ModelConfig]) -> None:
        """Takes the list of models that `watch` shall load first, while the server answers already."""
        self._configs = tuple(configs)

    async def watch(self, poll: float) -> None:
        """Takes up versions as they appear, for ever, `poll` seconds after the last look."""
        if self._configs is not None and not self._begun:
            await self.reload(self._configs)
            answering = {v.name: v.current.version for v in self if v.current is not None}
            missing = [v.name for v in self if v.current is None]
            level = logging.WARNING if missing else logging.INFO
            log("models loaded", level, models=answering, missing=missing or None)
        while True:
            await asyncio.sleep(poll)
            await self.refresh()

    async def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serves the models of a list and no others.

        At first a label may be given to any version, since nobody uses it yet; then only to one that is
        loaded, unless others are allowed and it does not move away from one that answers.

        Raises:
          ServingError: If a label cannot be given, and all is as before; or if a new model has no
            version that can be loaded, and all else is as asked for.
        """
        async with self._reloading:
            first, self._begun = not self._begun, True
            if not first:
                self._check_labels(configs)
            self._configs = tuple(configs)
            self._labels = {str(config.name): config.labels for config in configs}
            names = {config.name for config in configs}
            for name in [name for name in self._models if name not in names]:
                self._gone[name] = self._models.pop(name)
                await self._gone[name].close()
            new = [config.name for config in configs if config.name not in self._models]
            models = {}
            for config in configs:
                self._gone.pop(config.name, None)
                models[config.name] = self._models.get(config.name) or Versions(
                    config, self._metrics, self._loading
                )
                models[config.name].configure(config)
            self._models = models
            await self.refresh()
            missing = [models[name] for name in new if models[name].current is None]
            if missing and not first:
                raise ServingError("UNKNOWN", _not_available(missing))

    def _check_labels(self, configs: Sequence[ModelConfig]) -> None:
        for config in configs:
            versions = self._models.get(config.name)
            for label, version in config.labels.items():
                had = self._labels.get(str(config.name), {}).get(label)
                free = self._labels_for_unavailable and had in (None, version)
                if free or (versions is not None and versions.get(version) is not None):
                    continue
                raise ServingError(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {config.name}, "
                    "which is not currently available for inference",
                )


def _not_available(models: Sequence[Versions]) -> str:
    told = []
    for versions in models:
        errors = [f"version {v}: {s.error}" for v, s in versions.statuses.items() if s.error]
        told.append(f"{{name: {versions.name} {'; '.join(errors) or 'no version found'}}}")
    return f"{len(models)} model(s) did not become available: {', '.join(told)}"
