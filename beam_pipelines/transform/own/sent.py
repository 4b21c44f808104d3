"""A spec's own function as workers on other machines call it."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from skewless.beam_pipelines.transform.constants import Constants
from skewless.beam_pipelines.transform.own.sources import have_sources
from skewless.beam_pipelines.transform.preprocessing_fn import make_preprocessing_fn
from skewless.schemas.rows.prepare import RawTensors
from skewless.schemas.spec.spec import Spec

__all__ = ["SentFunction"]


@dataclass(frozen=True)
class SentFunction:
    """The preprocessing function of a spec, which goes to workers as its declaration.

    Attributes:
      spec: It has a function of its own.
      constants: What was found in the training split.
      sources: What `leave_sources` returned.
    """

    spec: Spec
    constants: Constants
    sources: str

    def __call__(self, inputs: RawTensors) -> dict[str, tf.Tensor]:
        """Imports the function, if need be, and calls it."""
        have_sources(self.sources)
        return make_preprocessing_fn(self.spec, self.constants)(inputs)
