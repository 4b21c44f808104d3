"""What Beam's `--setup_file` needs; everything else is in pyproject.toml.

Packages are named one by one, so that tests are never installed.
"""

from setuptools import setup

setup(
    version="0.1.0",
    packages=[
        "beam_pipelines",
        "beam_pipelines.analyzers",
        "beam_pipelines.init",
        "beam_pipelines.sources",
        "model",
        "model.layers",
        "model.report",
        "model.serve",
        "model.serve.models",
        "model.serve.monitoring",
        "schemas",
        "schemas.examples",
    ],
    py_modules=["demo", "skewless"],
    package_data={
        "model.report": ["page.html", "page.css"],
        "model.serve": ["models.html", "page.html", "page.css", "page.js"],
        "schemas": ["spec.schema.json"],
        "schemas.examples": ["*.yaml"],
    },
)
