"""The page: a person types a row, sees the prediction, what each value became, and what moved the score.

Of two towers the row is a query, and the page shows what is found for it. The form is made from the
model's own spec; the walk through the model is `skewless.model.explain`, as in `skewless inspect MODEL --row`. Nothing is fetched from elsewhere, and the headers forbid it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import weakref
from importlib import resources
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from skewless.model.explain import told_of
from skewless.model.explained.recommended import asked_columns, recommends
from skewless.model.serve.exchange import Bodies, Endpoint
from skewless.model.serve.form import fields_of
from skewless.model.serve.models.registry import Models
from skewless.model.serve.models.servable import Servable
from skewless.model.serve.models.versions import Versions
from skewless.model.serve.reading.json_documents import dumps, loads
from skewless.model.serve.status import ServingError
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.spec.network import TwoTowerSpec

__all__ = ["explanations", "page"]

# Explaining is Python's work for the most part; more at a time would only slow predictions down.
_AT_A_TIME = 1
# Of a value that is told to be wrong.
_SHOWN = 60


def page(models: Models) -> Endpoint:
    """Returns what answers GET /: the page of the only model, or of `?model=`, or a list of models."""
    pages: weakref.WeakKeyDictionary[Servable, str] = weakref.WeakKeyDictionary()
    style, script = _file("page.css"), _file("page.js")
    shared = (resources.files("skewless.model.report") / "page.css").read_text(encoding="utf-8")
    style = shared + style
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(_file("page.html"))
    listing = environment.from_string(_file("models.html"))
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def endpoint(request: Request) -> Response:
        request.state.method = "page"
        if "model" not in request.query_params and models.only is None:
            names = [(versions.name, versions.current is not None) for versions in models]
            return HTMLResponse(listing.render(models=names, style=style), headers=headers)
        versions = _asked(models, request)
        servable = versions.current
        if servable is None:
            raise ServingError("UNAVAILABLE", f"no version of {versions.name} is loaded yet")
        if servable not in pages:
            spec = servable.model.spec
            finds = recommends(servable.model)
            asked = asked_columns(spec) if finds else None
            pages[servable] = template.render(
                model=versions.name,
                version=servable.version,
                signatures=sorted(servable.model.graph.signatures),
                fields=[
                    field for field in fields_of(servable) if asked is None or field.column in asked
                ],
                labels=list(spec.labels or ()),
                most=max(spec.model.cutoffs) if isinstance(spec.model, TwoTowerSpec) else 0,
                finds=finds,
                style=style,
                script=script,
            )
        return HTMLResponse(pages[servable], headers=headers)

    return endpoint


def explanations(models: Models, bodies: Bodies) -> Endpoint:
    """Returns what answers POST /explain: `{"row": {column: value}}` to what became of it.

    Of several labels it is told of the first, or of that of `"label": NAME` beside the row. Of a query of
    two towers it is told what is found, but for the names in `"exclude": […]`, as many as `"count": N`.

    The model is the only one, or that of `?model=`.
    """
    turns = asyncio.Semaphore(_AT_A_TIME)

    async def endpoint(request: Request) -> Response:
        request.state.method = "explain"
        body = loads(await bodies.of(request))
        row, options = _asked_of(body)
        servable = models.get(_asked(models, request).name)
        request.state.version, request.state.rows = servable.version, 1
        try:
            async with turns:
                found = await asyncio.to_thread(told_of, servable.model, row, **options)
        except (DataError, UsageError) as error:
            raise ServingError("INVALID_ARGUMENT", str(error)) from error
        document = {"version": servable.version, **found.as_json()}
        return Response(dumps(document), media_type="application/json")

    return endpoint


def _asked_of(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the row of a body, and the options beside it, as `told_of` takes them."""
    row, label = body.get("row"), body.get("label")
    exclude, count = body.get("exclude", []), body.get("count")
    if not isinstance(row, dict) or not isinstance(label, str | None):
        raise ServingError(
            "INVALID_ARGUMENT",
            'expected {"row": {column: value, …}}, with "label": NAME for one of several',
        )
    if not isinstance(exclude, list) or not all(isinstance(name, str) for name in exclude):
        raise ServingError(
            "INVALID_ARGUMENT", f"exclude: expected a list of names, got {str(exclude)[:_SHOWN]}"
        )
    if isinstance(count, bool) or not isinstance(count, int | None):
        raise ServingError(
            "INVALID_ARGUMENT", f"count: expected a whole number, got {str(count)[:_SHOWN]}"
        )
    return row, {"label": label, "exclude": exclude, "count": count}


def _asked(models: Models, request: Request) -> Versions:
    name = request.query_params.get("model")
    if name is None:
        if models.only is None:
            raise ServingError("INVALID_ARGUMENT", "several models are served: add ?model=NAME")
        return models.only
    versions = models.of(name)
    if versions is None:
        raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
    return versions


def _file(name: str) -> str:
    return (resources.files("skewless.model.serve") / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
