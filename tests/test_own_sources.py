"""The source of a spec's own function goes to workers, with what it imports of one's own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skewless.beam_pipelines.transform.own import sources
from skewless.beam_pipelines.transform.own.function import own_function
from skewless.beam_pipelines.transform.own.sources import have_sources, leave_sources
from skewless.schemas.errors import SpecError
from skewless.schemas.spec.spec import Spec, parse

pytestmark = pytest.mark.usefixtures("cache")
OURS = ("own_words", "own_helpers", "own_package", "own_unsent")


def spec_of(function: str) -> Spec:
    features = {"age": {"type": "numeric"}}
    label = {"column": "bought", "type": "binary"}
    return parse({"name": "own", "preprocessing": function, "features": features, "label": label})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that the command imports from."""
    path = list(sys.path)
    (tmp_path / "home").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "home")
    yield tmp_path / "home"
    sys.path[:] = path
    forget()


def forget() -> None:
    """Makes this process one that has imported none of them."""
    sources._AT_HAND.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    importlib.invalidate_caches()


def write(home: Path, name: str, *lines: str) -> None:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def on_a_worker(home: Path, folder: str) -> None:
    """Makes this process a worker that does not see the command's directory."""
    forget()
    sys.path.remove(str(home))
    have_sources(folder)


def of_a_batch(spec: Spec) -> object:
    function = own_function(spec)
    assert function is not None
    return function({})["words"]


def test_a_package_goes_with_files_that_are_no_python_of_ours(home: Path, uri: str) -> None:
    write(home, "own_package/__init__.py", "def words(_):", "    return {'words': ['a']}")
    write(home, "own_package/templates/new.py", "import {{ name }}")
    write(home, "own_package/old.py", "print 'of another Python'")
    (home / "own_package" / "nul.py").write_bytes(b"\0")
    spec = spec_of("own_package:words")
    on_a_worker(home, leave_sources(spec, uri))
    assert of_a_batch(spec) == ["a"]


def test_a_module_goes_with_what_it_imports(home: Path, uri: str) -> None:
    write(home, "own_helpers.py", "WORDS = ['a', 'b']")
    write(home, "own_words.py", "def words(_):", "    import numpy, own_helpers", "    return {'words': own_helpers.WORDS}")  # fmt: skip
    spec = spec_of("own_words:words")
    assert of_a_batch(spec) == ["a", "b"]
    on_a_worker(home, leave_sources(spec, uri))
    assert of_a_batch(spec) == ["a", "b"]
    assert Path(sys.modules["own_helpers"].__file__ or "").parent != home


def test_a_package_goes_whole_and_a_newer_one_goes_before(home: Path, tmp_path: Path) -> None:
    write(home, "own_package/__init__.py")
    write(home, "own_package/.hidden")
    write(home, "own_package/list.txt", "a")
    write(
        home,
        "own_package/inner/words.py",
        "from pathlib import Path",
        "from ..beside import NUMBER",
        "def words(_):",
        "    there = Path(__file__).parents[1] / 'list.txt'",
        "    return {'words': there.read_text().split() + [NUMBER]}",
    )
    spec = spec_of("own_package.inner.words:words")
    left = []
    for number in (1, 2):
        write(home, "own_package/beside.py", f"NUMBER = {number}")
        left.append(leave_sources(spec, str(tmp_path / f"shared-{number}")))
    assert not list(Path(left[0]).rglob(".hidden"))
    on_a_worker(home, left[0])
    assert of_a_batch(spec) == ["a", 1]
    have_sources(left[1])
    assert of_a_batch(spec) == ["a", 2]
    have_sources(left[1])
    assert sys.path.count(left[1]) == 1 and left[0] not in sys.path


def test_what_is_not_sent_is_told(home: Path, uri: str) -> None:
    write(home, "own_unsent.py")
    write(home, "own_words.py", "import importlib", "importlib.import_module('own_unsent')", "def words(_): pass")  # fmt: skip
    spec = spec_of("own_words:words")
    on_a_worker(home, leave_sources(spec, uri))
    with pytest.raises(SpecError, match=r"No module named 'own_unsent'.* so install there what"):
        own_function(spec)


def test_more_than_code_is_refused(home: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "own_package/words.py", "import own_helpers")
    write(home, "own_helpers.py", "#" * 50)
    monkeypatch.setattr(sources, "_MOST_BYTES", 60)
    spec = spec_of("own_package.words:words")
    with pytest.raises(SpecError, match=r"imports own_helpers, and .*own_helpers\.py holds more"):
        leave_sources(spec, uri)
    (home / "own_package" / "words.py").rename(home / "own_package" / "words.txt")
    with pytest.raises(SpecError, match="no Python source to send"):
        leave_sources(spec, uri)
