"""Dataflow, as far as a machine without Google allows: what is refused in a line, before any work."""

from __future__ import annotations

from pathlib import Path

import google.auth
import pytest
from google.auth.exceptions import DefaultCredentialsError

from skewless.cli import main
from tests.conftest import DataSet

pytestmark = pytest.mark.usefixtures("cache")
FULL = ["--project=my-project", "--region=us-central1", "--temp_location=gs://bucket/tmp"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FULL[1:], "--project is missing; expected --project, --region and"),
        ([FULL[0], FULL[2]], "--region is missing"),
        (FULL[:2], "--temp_location is missing"),
        (["--project=My project", *FULL[1:]], "--project=My project: expected a project's ID"),
        ([*FULL[:2], "--temp_location=/tmp"], "--temp_location=/tmp: expected gs://"),
        (FULL, "no credentials were found; set GOOGLE_APPLICATION_CREDENTIALS, or run"),
    ],
)
def test_options_are_checked_before_any_work(
    options: list[str],
    message: str,
    tmp_path: Path,
    shop: DataSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def nobody(**_: object) -> None:
        raise DefaultCredentialsError("several\nlines")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", nobody)
    words = ["preprocess", str(shop.directory / "spec.yaml"), "--input", "memory://not/there.csv"]
    output = ["--output", str(tmp_path / "out"), "--runner=DataflowRunner"]
    assert main([*words, *output, *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1


def test_what_its_workers_do_not_see_is_refused(
    tmp_path: Path,
    shop: DataSet,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from skewless.schemas.storage.location import Location

    monkeypatch.setattr(google.auth, "default", lambda **_: (None, None))
    spec, options = str(shop.directory / "spec.yaml"), ["--runner=DataflowRunner", *FULL]
    words = ["preprocess", spec, "--input", str(shop.source), "--output", uri]
    assert main([*words, *options]) == 2
    assert "Dataflow's workers see no disk of this machine; put it into" in capsys.readouterr().err
    place = Location.of(f"{uri}-in/rows.csv")
    place.system.pipe_file(place.path, shop.source.read_bytes())
    words = ["preprocess", spec, "--input", f"{uri}-in/rows.csv", "--output", str(tmp_path / "out")]
    assert main([*words, *options]) == 2
    assert "the runner's workers see no disk of this machine; give a URI" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
