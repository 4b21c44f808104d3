"""The report: what it says of records and runs, and that a browser draws it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from sklearn.metrics import confusion_matrix

from skewless.model.evaluate import evaluate
from skewless.model.metrics.curves import compute_curves
from skewless.model.report import write_report
from skewless.model.report.card.markdown import card_of, markdown
from skewless.model.report.curve_charts import curve_charts
from skewless.model.report.divergence import divergences
from skewless.model.report.findings import of_records, of_run
from skewless.model.report.run_charts import surely_worse
from skewless.model.report.sources import open_directories
from skewless.model.training.run_directory import write_json
from skewless.schemas.errors import DatasetMismatchError, UsageError
from skewless.schemas.spec.label import BinaryLabel, MulticlassLabel, RegressionLabel
from tests.conftest import SHOP, DataSet
from tests.test_cli import run

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def evaluated(shop: DataSet, shop_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run with an evaluation by slices."""
    copy = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(shop_run, copy)
    result = evaluate(copy, shop.directory, "eval", ["country", "age"], importance=True)
    write_json(copy / "evaluation-eval.json", result)
    return copy


@pytest.fixture(scope="session")
def page(shop: DataSet, evaluated: Path, shop_run: Path, tmp_path_factory) -> Path:
    """A report on records and two runs."""
    output = tmp_path_factory.mktemp("report") / "report.html"
    return write_report([shop.directory, evaluated, shop_run], output)


class _Page(HTMLParser):
    """Gathers what a page holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "a":
            self.links.append(values["href"] or "")
        elif tag != "use":
            self.sources += [values[name] or "" for name in ("src", "href") if name in values]


def test_the_page_stands_alone(page: Path) -> None:
    found = _Page(page.read_text(encoding="utf-8"))
    assert found.tags.count("script") == 1
    assert found.sources == ["data:,"]
    assert len(found.ids) == len(set(found.ids))
    assert found.links
    assert {link.removeprefix("#") for link in found.links} <= set(found.ids)
    assert page.stat().st_size < 3_000_000


def test_every_feature_and_figure_is_on_it(page: Path, shop: DataSet, evaluated: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in SHOP["features"]:
        assert re.search(rf"<h4>{name}(\.v1)?: ", text), name
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert f"{metrics['test']['auc']:.4g} (" in text
    assert "400 rows read = 400 written + 0 rejected + 0 duplicate." in text
    assert re.search(
        r"<h1>shop: run</h1>\n<p class=\"about\">Written on 20\d\d-\d\d-\d\d at ", text
    )
    assert "<h3>rating (label)</h3>" in text
    assert '<table class="sortable">\n<caption>Features</caption>' in text
    for title in (
        "ROC",
        "Precision and recall",
        "Calibration",
        "By country",
        "Loss by epoch",
        "What the model leans on",
        "Limits",
    ):
        assert f"<h4>{title}</h4>" in text or f"<h3>{title}</h3>" in text
    assert text.count("<figure>") == text.count('role="img"') > 20


def _cells(text: str) -> set[tuple[str, ...]]:
    """Returns the rows of all tables, as a parser of Markdown reads them."""
    rows: list[list[str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "tr_open" or token.type.endswith("heading_open"):
            rows.append([])
        elif token.type == "inline" and rows:
            rows[-1].append("".join(child.content for child in token.children or ()))
    return {tuple(row) for row in rows}


def test_the_card_says_what_went_in_and_how_good_the_model_is(
    evaluated: Path, shop: DataSet
) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    manifest = json.loads((shop.directory / "manifest.json").read_text())
    held = manifest["splits"]["eval"]["rows"]
    rows = _cells(card_of(evaluated))
    assert {
        ("sources", "shop.csv"),
        ("rows read", "400"),
        ("predicts", "rating (binary); positive 4, 5"),
        ("transform, SHA-256", manifest["transform_sha256"]),
        ("eval", f"{held}", f"{held / 400:.1%}"),
    } <= rows
    (auc,) = (row for row in rows if row[0] == "auc")
    low, high = metrics["confidence"]["test"]["auc"]
    assert auc[2] == f"{metrics['test']['auc']:.4g} ({low:.4g} to {high:.4g})"
    evaluation = json.loads((evaluated / "evaluation-eval.json").read_text())
    for entry in evaluation["slices"]["country"]:
        (found,) = (row for row in rows if row[0] == entry["value"])
        assert found[1] == f"{entry['rows']}"
    assert any(row[0] == "other rows" and "later ones" in row[1] for row in rows)


def test_a_card_shows_any_name_as_it_is(evaluated: Path, shop_model: Path) -> None:
    (run_,) = open_directories([evaluated])[1]
    odd = "a|b *c* <d> `e` [f](g) &amp; h\\"
    evaluation = run_.evaluations["eval"]
    evaluation["slices"] = {"x": [{"value": odd, "rows": 12345, "auc": 0.5}]}
    assert (odd, "12,345", "0.5", "") in _cells(markdown(run_.records, run_))
    # The one beside a model is of the same figures; no slice was evaluated of that run.
    beside = (shop_model / "assets.extra" / "model-card.md").read_text(encoding="utf-8")
    assert "None was evaluated." in beside
    assert {row for row in _cells(beside) if row[0] == "rows read"} == {("rows read", "400")}


def test_a_run_alone_brings_its_records(shop_run: Path, tmp_path: Path) -> None:
    records, runs = open_directories([shop_run])
    assert [entry.spec.name for entry in records] == ["shop"]
    assert len(runs) == 1
    moved = tmp_path / "run"
    shutil.copytree(shop_run, moved)
    write_json(moved / "records.json", {"directory": str(tmp_path / "gone")})
    assert open_directories([moved])[0][0].rejected is None


def test_the_confusion_matrix_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    curves = compute_curves(MulticlassLabel(column="y"), truth, predicted, None)
    assert curves["matrix"] == confusion_matrix(truth, predicted.argmax(axis=1)).tolist()
    two = compute_curves(BinaryLabel(column="y"), truth[:, None] > 0, predicted[:, :1], None)
    assert two["matrix"] == confusion_matrix(truth > 0, predicted[:, 0] >= 0.5).tolist()
    many = compute_curves(MulticlassLabel(column="y"), truth, np.eye(13)[truth], None)
    assert "matrix" not in many


def test_the_limit_that_is_drawn_is_the_one_that_judges() -> None:
    def split(counts: list[int]) -> dict[str, Any]:
        return {"features": {}, "label_counts": counts}

    for other in ([50, 50], [55, 45], [80, 20], [90, 10]):
        (found,) = divergences(split([500, 500]), split(other), "stars (label)")
        assert found.name == "stars (label)"
        assert found.surprising == (found.distance > found.limit)
        assert found.limit >= max(0.05, 2 * found.by_chance)


def _changed(shop: DataSet, tmp_path: Path, **changes: Any) -> Path:
    """Returns a copy of the records' description with other figures of `text` in each split."""
    copy = tmp_path / "records"
    copy.mkdir()
    for name in ("manifest.json", "spec.yaml"):
        (copy / name).write_text((shop.directory / name).read_text())
    document = json.loads((shop.directory / "statistics.json").read_text())
    for summary in document["splits"].values():
        summary["features"]["text"] |= changes
    (copy / "statistics.json").write_text(json.dumps(document))
    return copy


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"truncated_share": 0.23, "length_quantiles": {"0.95": 190, "0.99": 260}},
            "23% of rows lose tokens at 6; 190 would cut 5%",
        ),
        ({"oov_share": 0.4}, "40% of its values are out of vocabulary in the training split"),
        ({"missing": 300, "rows": 400}, "75% of rows have no value"),
        ({"missing": 400, "rows": 400}, "no row has a value; check the column's name"),
    ],
)
def test_findings_name_figure_and_remedy(
    changes: dict, expected: str, shop: DataSet, tmp_path: Path
) -> None:
    records, _ = open_directories([_changed(shop, tmp_path, **changes)])
    texts = [finding.text for finding in of_records(records[0]) if finding.subject == "text"]
    assert any(expected in text for text in texts), texts


def test_rejected_rows_are_counted_by_reason(shop: DataSet, tmp_path: Path) -> None:
    copy = _changed(shop, tmp_path)
    (copy / "rejected").mkdir()
    lines = [
        {"file": "a.csv", "row": row, "key": None, "column": "age", "raw": "",
         "reason": f"expected a number, got '{row}x'"}
        for row in range(5)
    ]  # fmt: skip
    (copy / "rejected" / "part-00000.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    records, _ = open_directories([copy])
    (reason,) = records[0].rejected or []
    assert (reason.column, reason.reason, reason.rows) == ("age", "expected a number", 5)
    text = write_report([copy], tmp_path / "r.html").read_text()
    assert "a.csv, row 0: expected a number" in text


def _split(counts: list[int]) -> dict:
    histogram = {"edges": list(range(len(counts) + 1)), "counts": counts}
    return {"features": {"x": {"histogram": histogram, "missing": 0}}}


@pytest.mark.parametrize(
    ("left", "right", "distance", "surprising"),
    [
        ([10, 0], [0, 10], 1.0, True),
        ([500, 500], [50, 50], 0.0, False),
        ([5000, 5000], [700, 300], 0.1741, True),
        ([6, 4], [4, 6], 0.1704, False),
    ],
)
def test_the_distance_between_splits(
    left: list, right: list, distance: float, surprising: bool
) -> None:
    (found,) = divergences(_split(left), _split(right))
    assert found.distance == pytest.approx(distance, abs=2e-3)
    assert found.surprising is surprising


def test_a_run_is_judged_by_its_history_and_slices(evaluated: Path) -> None:
    (run_,) = open_directories([evaluated])[1]
    history = [
        {"epoch": epoch, "loss": 1 / epoch, "val_loss": loss}
        for epoch, loss in enumerate((0.5, 0.4, 0.6), start=1)
    ]
    worse = {"value": "PE", "rows": 99, "auc": 0.6, "confidence": {"auc": [0.5, 0.7]}}
    evaluation = {"metrics": {"auc": 0.9}, "slices": {"country": [worse]}}
    run_.metrics["history"] = history
    run_.evaluations["eval"] = evaluation
    found = {finding.subject: finding.text for finding in of_run(run_)}
    assert "it overfits after epoch 2" in found["training"]
    assert "auc on eval is 0.600 where it is 0.900 over all (99 rows)" in found["country = PE"]
    run_.metrics["history"] = history[:2]
    assert "train for more than 2 epochs" in {f.subject: f.text for f in of_run(run_)}["training"]


@pytest.mark.parametrize(
    ("label", "truth", "predicted", "titles"),
    [
        (
            MulticlassLabel(column="y"),
            np.arange(90) % 3,
            np.random.default_rng(3).dirichlet([1, 1, 1], 90),
            ["Calibration", "Recall by class, the worst first"],
        ),
        (
            RegressionLabel(column="y"),
            np.arange(90.0),
            np.arange(90.0) + np.random.default_rng(4).normal(size=90),
            ["Calibration", "Errors"],
        ),
    ],
    ids=["multiclass", "regression"],
)
def test_curves_of_other_labels_are_drawn(
    label: Any, truth: np.ndarray, predicted: np.ndarray, titles: list[str]
) -> None:
    charts = curve_charts(compute_curves(label, truth, predicted, None), ["a", "b", "c"])
    assert [chart.title for chart in charts] == titles
    for chart in charts:
        assert chart.svg.count("<title>") >= 3
        assert "NaN" not in chart.svg


def test_among_many_slices_the_worst_by_chance_is_not_called_worse() -> None:
    entry = {"value": "PE", "auc": 0.75, "confidence": {"auc": [0.66, 0.84]}}
    assert surely_worse(entry, "auc", 0.85, 1)
    assert not surely_worse(entry, "auc", 0.85, 30)
    higher = {"value": "PE", "rmse": 2.0, "confidence": {"rmse": [1.5, 2.5]}}
    assert surely_worse(higher, "rmse", 1.4, 1)
    assert not surely_worse(higher, "rmse", 2.1, 1)


def test_what_is_neither_is_refused(shop: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is neither records"):
        write_report([tmp_path], tmp_path / "r.html")
    copy = _changed(shop, tmp_path)
    (copy / "statistics.json").write_text("{")
    with pytest.raises(DatasetMismatchError, match=r"statistics\.json: cannot be read"):
        write_report([copy], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_the_command_loads_no_framework(shop: DataSet, tmp_path: Path) -> None:
    done = run("report", str(shop.directory), "-o", str(tmp_path / "r.html"))
    assert done.returncode == 0, done.stderr
    assert "r.html: " in done.stdout
    code = (
        "import sys, model.report.page\n"
        "heavy = {'tensorflow', 'keras', 'apache_beam', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_a_browser_draws_every_chart(browser: Any, page: Path, scheme: str, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    tab = context.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("requestfailed", lambda request: said.append(request.url))
    tab.goto(page.as_uri())
    assert said == []
    drawn = tab.evaluate(
        """() => [...document.querySelectorAll("svg.chart")].map(svg => {
            const box = svg.getBoundingClientRect();
            const marks = [...svg.querySelectorAll(".role-mark path, .role-mark line")];
            return {width: box.width, height: box.height, right: box.right,
                    marks: marks.filter(m => m.getBoundingClientRect().width
                                        + m.getBoundingClientRect().height > 0).length};
        })"""
    )
    assert len(drawn) == page.read_text(encoding="utf-8").count("<figure>")
    for box in drawn:
        assert box["marks"] > 0
        assert box["width"] > 200
        assert box["right"] <= width
    # Nothing but tables may be wider than the page, and those scroll by themselves.
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    contrasts = tab.evaluate(_CONTRASTS)
    assert min(contrasts.values()) >= 3.0, contrasts
    assert contrasts["--ink"] >= 7.0
    context.close()


@pytest.mark.browser
def test_on_paper_it_is_light_and_no_wider_than_a_page(browser: Any, page: Path) -> None:
    tab = browser.new_page(viewport={"width": 794, "height": 1123}, color_scheme="dark")
    tab.goto(page.as_uri())
    tab.emulate_media(media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 794
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.close()


# WCAG's contrast of each colour with the panel that charts stand on.
_CONTRASTS = """() => {
    const style = getComputedStyle(document.documentElement);
    const light = name => {
        const hex = style.getPropertyValue(name).trim();
        const parts = [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16) / 255)
            .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const panel = light("--panel");
    return Object.fromEntries(["--ink", "--soft", "--first", "--second", "--warning", "--link"].map(
        name => {
            const pair = [light(name), panel].sort((a, b) => b - a);
            return [name, (pair[0] + 0.05) / (pair[1] + 0.05)];
        }));
}"""


@pytest.mark.browser
def test_the_keyboard_reaches_links_numbers_and_tables(browser: Any, page: Path) -> None:
    tab = browser.new_page()
    tab.goto(page.as_uri())
    reached = set()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    for _ in range(40):
        tab.keyboard.press("Tab")
        name = tab.evaluate("document.activeElement.tagName")
        reached.add(name)
        if name == "SUMMARY":
            break
    assert {"A", "DIV", "SUMMARY"} <= reached
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.parentElement.open") is True
    shown = tab.evaluate(
        "document.activeElement.parentElement.querySelector('table').getBoundingClientRect().height"
    )
    assert shown > 20
    tab.close()
