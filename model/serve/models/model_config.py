"""What shall be served, as TensorFlow Serving's ModelServerConfig says it.

model_config_list {
  config {
    name: "reviews"  base_path: "/models/reviews"  model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tensorflow_serving.config import model_server_config_pb2

from skewless.model.serve.status import ServingError
from skewless.model.serve.text_messages import read_message
from skewless.schemas.errors import UsageError

__all__ = ["ModelConfig", "VersionPolicy", "load", "model_configs"]

_PLATFORM = "tensorflow"
_LIST = "model_config_list"


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions of those that are there shall be loaded.

    Attributes:
      newest: How many at most, the newest that can be loaded; None for all.
      only: Their numbers; None for any.
    """

    newest: int | None = 1
    only: frozenset[int] | None = None

    def candidates(self, found: Collection[int]) -> list[int]:
        """Returns the versions to try, the newest first."""
        return sorted((v for v in found if self.only is None or v in self.only), reverse=True)


@dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
      name: What clients call it; None for what its spec says.
      base_path: An exported model, or a directory of numbered ones.
      policy: Which of them are loaded.
      labels: Versions by their labels.
    """

    name: str | None
    base_path: Path
    policy: VersionPolicy = field(default_factory=VersionPolicy)
    labels: Mapping[str, int] = field(default_factory=dict)


def load(path: str | Path) -> tuple[ModelConfig, ...]:
    """Reads a file of models; a relative `base_path` is taken from the file's directory.

    Raises:
      UsageError: If it cannot be read, or holds anything else.
    """
    message = model_server_config_pb2.ModelServerConfig()
    example = "model_config_list { config { name base_path model_platform } }"
    read_message(path, message, "a ModelServerConfig", f"its text format, {example}")
    try:
        return model_configs(message, Path(path).absolute().parent)
    except ServingError as error:
        raise UsageError(f"{path}: {error}; correct the file") from error


def model_configs(
    message: model_server_config_pb2.ModelServerConfig, relative_to: Path | None = None
) -> tuple[ModelConfig, ...]:
    """Returns the models of TensorFlow Serving's message.

    Args:
      message: Lists models.
      relative_to: Where relative paths begin; without it they are refused.

    Raises:
      ServingError: If it lists none, or one that is not as it should be.
    """
    if message.WhichOneof("config") != _LIST:
        raise _refused(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    configs = tuple(_config(entry, relative_to) for entry in message.model_config_list.config)
    names = [config.name for config in configs]
    for name in names:
        if names.count(name) > 1:
            raise _refused(f"Illegal to list model {name} multiple times in config list")
    return configs


def _config(entry: model_server_config_pb2.ModelConfig, relative_to: Path | None) -> ModelConfig:
    name = entry.name
    if not name:
        raise _refused("Illegal to list a model without a name in config list")
    platform = entry.model_platform
    if entry.model_type:
        if platform:
            raise _refused(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {name}"
            )
        platform = model_server_config_pb2.ModelType.Name(entry.model_type).lower()
    if not platform:
        raise _refused(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {name}"
        )
    if platform != _PLATFORM:
        raise _refused(f"model {name}: expected the model_platform {_PLATFORM!r}, got {platform!r}")
    base_path = Path(entry.base_path)
    if not base_path.is_absolute():
        if relative_to is None or not entry.base_path:
            raise _refused(
                f"Expected model {name} to have an absolute path or URI; got "
                f"base_path()={entry.base_path}"
            )
        base_path = relative_to / base_path
    return ModelConfig(name, base_path, _policy(entry), dict(entry.version_labels))


def _policy(entry: model_server_config_pb2.ModelConfig) -> VersionPolicy:
    given = entry.model_version_policy
    choice = given.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(newest=None)
    if choice == "specific":
        if not given.specific.versions:
            raise _refused(f"model {entry.name}: the policy 'specific' names no versions")
        return VersionPolicy(newest=None, only=frozenset(given.specific.versions))
    return VersionPolicy(newest=max(given.latest.num_versions, 1))


def _refused(message: str) -> ServingError:
    return ServingError("INVALID_ARGUMENT", message)
