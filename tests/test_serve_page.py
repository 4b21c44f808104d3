"""The page at /: what it says of itself, and that a person can use it in a browser."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skewless.model.explain import explain
from skewless.model.serve.form import fields_of
from skewless.model.serve.models.servable import Servable
from tests.conftest import SHOP
from tests.served_process import Server, serving
from tests.test_serve import refused

ROW = {
    "text": "The great thing, Été 3 and more words",
    "user": "u4",
    "tags": ["a", "zzz"],
    "age": "33",
}


@pytest.fixture(scope="module")
def server(shop_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(shop_model, tmp_path_factory.mktemp("page"), "--no-grpc") as running:
        yield running


def test_the_page_asks_for_the_columns_of_the_spec(server: Server) -> None:
    response = server.http.get("/")
    fields = re.findall(r'<(?:input|textarea) id="(field-\d+)" name="([^"]+)"', response.text)
    assert [name for _, name in fields] == ["text", "user", "tags", "age", "price", "v1", "v2"]
    for place, name in fields:
        assert f'<label for="{place}">{html.escape(name)}</label>' in response.text
    assert "rating" not in response.text
    assert '<option value="u4">' in response.text
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', response.text)


def test_the_example_row_and_known_values_are_what_the_statistics_hold(
    server: Server, shop_model: Path
) -> None:
    text = html.unescape(server.http.get("/").text)
    row = dict(re.findall(r'name="(\w+)"[^>]*? data-example="([^"]*)"', text))
    statistics = json.loads((shop_model / "assets.extra/statistics.json").read_text("utf-8"))
    frequent = {
        name: [entry["value"] for entry in found["frequent"]]
        for name, found in statistics["features"].items()
        if "frequent" in found
    }
    assert row["user"] == frequent["user"][0]
    assert row["tags"].split("|") == frequent["tags"][:2]
    assert row["text"].split() == frequent["text"][:6]
    assert float(row["age"]) == pytest.approx(statistics["features"]["age"]["quantiles"]["0.5"])
    assert "parted by '|', such as " + ", ".join(frequent["tags"][:5]) in text
    answer = server.http.post("/explain", json={"row": row | {"tags": row["tags"].split("|")}})
    assert answer.status_code == 200, answer.text
    assert not [feature for feature in answer.json()["features"] if feature["missing"]]


def test_without_statistics_known_values_come_from_the_vocabulary(
    shop_model: Path, tmp_path: Path
) -> None:
    servable = Servable(shop_model, 1)
    with_them = {field.column: field for field in fields_of(servable)}
    elsewhere = replace(servable.model, directory=tmp_path)
    servable.model = elsewhere
    fields = {field.column: field for field in fields_of(servable)}
    assert set(fields["user"].suggestions) >= set(with_them["user"].suggestions[:2])
    assert 0 < len(fields["user"].suggestions) <= 50
    assert fields["age"].example == ""
    assert fields["text"].example


def test_an_explanation_is_that_of_inspect(server: Server, shop_model: Path) -> None:
    found = server.http.post("/explain", json={"row": ROW}).json()
    assert found.pop("version") == 1
    expected = explain(shop_model, ROW).as_json()
    assert found["score"] == pytest.approx(expected["score"], abs=1e-6)
    assert [feature["steps"] for feature in found["features"]] == [
        feature["steps"] for feature in expected["features"]
    ]
    assert {feature["name"] for feature in found["features"]} == set(SHOP["features"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"row": {"age": "old"}}', "row 0, column 'age'"),
        (b'{"row": {"nothing": 1}}', "none of the model's columns"),
        (b'{"row": [1]}', 'expected {"row": '),
        (b"no JSON", "JSON Parse error"),
    ],
)
def test_rows_that_cannot_be_read_are_refused(body: bytes, said: str, server: Server) -> None:
    refused(server.http.post("/explain", content=body), 400, said)


@pytest.fixture
def tab(browser: Any, server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the server; a word on its console, or a request elsewhere, fails the test."""
    options = getattr(request, "param", {"viewport": {"width": 1280, "height": 900}})
    context = browser.new_context(**options)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda sent: said.append(sent.url) if not is_own(sent.url, server) else None)
    page.goto(server.url)
    yield page
    assert said == []
    context.close()


def is_own(url: str, server: Server) -> bool:
    return url.startswith((server.url, "data:"))


def type_row(tab: Any) -> None:
    tab.get_by_label("text", exact=True).fill(ROW["text"])
    tab.get_by_label("user", exact=True).fill(ROW["user"])
    tab.get_by_label("tags", exact=True).fill("a| zzz")
    tab.get_by_label("age", exact=True).fill("33")


@pytest.mark.browser
@pytest.mark.parametrize(
    "tab",
    [
        {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
        for width in (320, 1280)
        for scheme in ("light", "dark")
    ],
    ids=lambda options: f"{options['viewport']['width']}-{options['color_scheme']}",
    indirect=True,
)
def test_a_person_predicts_with_the_keyboard(tab: Any, server: Server, shop_model: Path) -> None:
    expected = explain(shop_model, ROW)
    type_row(tab)
    tab.get_by_label("age", exact=True).press("Enter")
    tab.get_by_role("heading", name="The prediction").wait_for()
    score = tab.locator(".score").inner_text()
    assert float(score) == pytest.approx(expected.score, abs=1e-4)
    assert tab.locator("#said").inner_text().startswith(f"Predicted {score}, the probability")
    assert tab.evaluate("document.activeElement.id") == "found-title"
    moved = tab.locator("#moved tbody tr").all_inner_texts()
    by_size = sorted(expected.features, key=lambda feature: -abs(feature.change))
    assert [line.split("\t")[0].split(" ")[0] for line in moved] == [f.name for f in by_size]
    first = moved[0].split("\t")[2]
    assert float(first.replace("\u2212", "-")) == pytest.approx(-by_size[0].change, rel=1e-3)
    text = tab.locator(".feature").first
    steps = expected.features[0].steps
    chips = text.locator("li").all_inner_texts()
    assert len(chips) == len(steps) == 8
    for chip, step in zip(chips, steps, strict=True):
        assert chip.startswith(step.token)
        assert (f"ID {step.id}" if step.id is not None else "cut off") in chip
    assert "The model saw: [" in text.inner_text()
    width = tab.viewport_size["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for control in tab.locator("input, textarea, button").all():
        box = control.bounding_box()
        assert box["height"] >= 40
        assert box["x"] + box["width"] <= width
    for button in tab.locator("button").all():
        assert button.bounding_box()["height"] < 60, "a word is cut in two"


@pytest.mark.browser
def test_a_wrong_value_and_a_server_that_is_gone_are_told(
    browser: Any, shop_model: Path, tmp_path: Path
) -> None:
    tab = browser.new_page()
    with serving(shop_model, tmp_path, "--no-grpc") as server:
        tab.goto(server.url)
        tab.get_by_label("age", exact=True).fill("old")
        tab.get_by_role("button", name="Predict").click()
        alert = tab.get_by_role("alert")
        alert.filter(has_text="column 'age'").wait_for()
        assert not tab.locator("#found").is_visible()
        tab.get_by_label("age", exact=True).fill("33")
        tab.get_by_role("button", name="Predict").click()
        tab.locator("#found").wait_for()
        assert alert.inner_text() == ""
        tab.get_by_role("button", name="Clear").click()
        assert tab.get_by_label("age", exact=True).input_value() == ""
        assert not tab.locator("#found").is_visible()
    tab.get_by_label("age", exact=True).fill("33")
    tab.get_by_role("button", name="Predict").click()
    tab.get_by_role("alert").filter(has_text="did not answer").wait_for()
    tab.close()


@pytest.mark.browser
def test_a_person_takes_the_example_row(tab: Any) -> None:
    tab.get_by_role("button", name="Example row").click()
    assert tab.get_by_label("user", exact=True).input_value()
    assert tab.evaluate("document.activeElement.type") == "submit"
    tab.keyboard.press("Enter")
    tab.locator("#found").wait_for()
    assert "(missing)" not in tab.locator("#moved").inner_text()


@pytest.mark.browser
def test_markup_in_a_row_stays_text(tab: Any) -> None:
    tab.get_by_label("user", exact=True).fill("<img src=x onerror=alert(1)>")
    tab.get_by_role("button", name="Predict").click()
    tab.locator("#found").wait_for()
    assert tab.locator("#found img").count() == 0
    assert "<img src=x onerror=alert(1)>" in tab.locator("#features").inner_text()
