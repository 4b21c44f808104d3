"""What Beam's `--setup_file` needs; everything else is in pyproject.toml.

Packages are named one by one, so that tests are never installed.
"""

from setuptools import setup

setup(
    version="0.1.0",
    packages=[
        "skewless",
        "skewless.beam_pipelines",
        "skewless.beam_pipelines.analysis",
        "skewless.beam_pipelines.batch",
        "skewless.beam_pipelines.init",
        "skewless.beam_pipelines.init.delimited",
        "skewless.beam_pipelines.init.kinds",
        "skewless.beam_pipelines.init.training",
        "skewless.beam_pipelines.records",
        "skewless.beam_pipelines.rows",
        "skewless.beam_pipelines.running",
        "skewless.beam_pipelines.sources",
        "skewless.beam_pipelines.sources.formats",
        "skewless.beam_pipelines.statistics",
        "skewless.beam_pipelines.streaming",
        "skewless.beam_pipelines.transform",
        "skewless.model",
        "skewless.model.comparison",
        "skewless.model.explained",
        "skewless.model.exported",
        "skewless.model.metrics",
        "skewless.model.network",
        "skewless.model.network.layers",
        "skewless.model.parity",
        "skewless.model.report",
        "skewless.model.serve",
        "skewless.model.serve.models",
        "skewless.model.serve.monitoring",
        "skewless.model.serve.oip",
        "skewless.model.serve.reading",
        "skewless.model.serve.tensorflow_serving",
        "skewless.model.serve.transport",
        "skewless.model.training",
        "skewless.schemas",
        "skewless.schemas.examples",
        "skewless.schemas.records",
        "skewless.schemas.rows",
        "skewless.schemas.rows.times",
        "skewless.schemas.spec",
        "skewless.schemas.spec.kinds",
        "skewless.schemas.storage",
    ],
    package_data={
        "skewless.model.report": ["page.html", "page.css", "page.js"],
        "skewless.model.serve": ["models.html", "page.html", "page.css", "page.js"],
        "skewless.schemas": ["spec.schema.json"],
        "skewless.schemas.examples": ["*.yaml"],
    },
)
