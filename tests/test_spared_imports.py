"""Libraries told, while they load, that others are absent; afterwards all is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from skewless.schemas import spared_imports
from skewless.schemas.spared_imports import load_spared


def test_what_is_refused_is_absent_while_a_library_loads_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optional_part.py").write_text("HERE = True\n")
    (tmp_path / "wanted_library.py").write_text(
        "try:\n    import optional_part\nexcept ImportError:\n    optional_part = None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(
        spared_imports._REFUSED,
        "wanted_library",
        frozenset({"optional_part"}),  # type: ignore[arg-type,misc]
    )
    monkeypatch.setitem(spared_imports._REFUSED, "not_installed", frozenset())  # type: ignore[arg-type]
    finders = list(sys.meta_path)

    load_spared(["not_installed", "wanted_library"], clouds=False)  # type: ignore[list-item]

    assert sys.modules.pop("wanted_library").optional_part is None
    assert sys.meta_path == finders
    import optional_part

    assert optional_part.HERE
    del sys.modules["optional_part"]


@pytest.mark.slow
def test_commands_load_half_and_whoever_asks_gets_the_rest(tmp_path: Path) -> None:
    program = """
import sys
from skewless.schemas.spared_imports import has_clouds, load_spared

load_spared(("tensorflow", "apache_beam"), clouds=False)
spared = {"jax", "tf_keras.src", "keras.src", "apache_beam.io.gcp.gcsio"}
assert not spared & set(sys.modules), spared & set(sys.modules)
assert not has_clouds()
load_spared(("tensorflow", "keras", "apache_beam"), clouds=True)
assert has_clouds()
from apache_beam.io.filesystems import FileSystems
import keras, scipy.sparse, tensorflow, tensorflow_transform
assert type(FileSystems.get_filesystem("gs://bucket/file")).__name__ == "GCSFileSystem"
model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(tensorflow.ones([4, 2]), tensorflow.ones([4, 1]), verbose=0)
model.save_weights(sys.argv[1])
assert tensorflow.keras.__name__ and tensorflow_transform.TransformFeaturesLayer
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.weights.h5")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
