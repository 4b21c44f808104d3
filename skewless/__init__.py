"""Skewless: rows to TFRecords, a Keras model and served parity, from one declared spec.

```python
import skewless as sk

records = sk.preprocess("reviews.yaml", frame, "records")
run = sk.train(records, "run")
print(run.evaluate("test")["metrics"])
sk.export(run, "served")
model = sk.open_model("served")
model.predict(frame)
```

Nothing heavy is loaded before a name that needs it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.beam_pipelines.nearest.opened import Index, open_index
    from skewless.first_spec import guess
    from skewless.frames import TableLike
    from skewless.from_table import Fitted, fit
    from skewless.own_models import inputs, towers
    from skewless.records import Records, open_records, preprocess
    from skewless.run import Run, open_run, train
    from skewless.schemas.errors import SkewlessError
    from skewless.schemas.spec.spec import Spec, load, parse
    from skewless.served import Model, export, open_model

__all__ = [
    "Fitted",
    "Index",
    "Model",
    "Records",
    "Run",
    "SkewlessError",
    "Spec",
    "TableLike",
    "export",
    "fit",
    "guess",
    "inputs",
    "load",
    "open_index",
    "open_model",
    "open_records",
    "open_run",
    "parse",
    "preprocess",
    "towers",
    "train",
]

_MODULES = {
    "beam_pipelines.nearest.opened": ("Index", "open_index"),
    "first_spec": ("guess",),
    "from_table": ("Fitted", "fit"),
    "frames": ("TableLike",),
    "own_models": ("inputs", "towers"),
    "records": ("Records", "open_records", "preprocess"),
    "run": ("Run", "open_run", "train"),
    "schemas.errors": ("SkewlessError",),
    "schemas.spec.spec": ("Spec", "load", "parse"),
    "served": ("Model", "export", "open_model"),
}
_PLACES = {name: f"skewless.{module}" for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'skewless' has no attribute {name!r}")
    from skewless.environment import keras_as_it_was

    # What lies among the jobs sets an environment variable when it is loaded.
    with keras_as_it_was():
        return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
