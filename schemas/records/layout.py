"""Names of what lies on disk. Each is part of the contract: files of before must open.

OUT/       manifest.json spec.yaml schema.pbtxt statistics.json transform/ rejected/ raw/ train/ …
           and pasts/ where the spec has histories
RUN/       metrics.json records.json model.keras, and of its records manifest, spec, statistics
           and transform/
MODEL/     saved_model.pb assets/ assets.extra/skewless.json, and beside that the run's files
"""

from __future__ import annotations

__all__ = [
    "ASSETS",
    "CANDIDATES",
    "CARD",
    "DESCRIPTION",
    "EXTRA",
    "MANIFEST",
    "METRICS",
    "MODEL",
    "PASTS",
    "RAW",
    "REJECTED",
    "SAVED_MODEL",
    "SCHEMA",
    "SOURCE",
    "SPEC",
    "STATISTICS",
    "TRANSFORM",
    "TRANSFORM_FN",
]

# Written last, each of its kind of directory, which is not one without it.
MANIFEST = "manifest.json"
METRICS = "metrics.json"
DESCRIPTION = "skewless.json"

# Of an exported model, beside its description.
CARD = "model-card.md"

SPEC = "spec.yaml"
SCHEMA = "schema.pbtxt"
STATISTICS = "statistics.json"
REJECTED = "rejected"
RAW = "raw"
# Of histories: each user's newest values.
PASTS = "pasts"

TRANSFORM = "transform"
TRANSFORM_FN = "transform_fn"
# Of any SavedModel: its graph, the files that the graph reads, and those that it does not.
SAVED_MODEL = "saved_model.pb"
ASSETS = "assets"
EXTRA = "assets.extra"

MODEL = "model.keras"
# Where a run's records were, and the run that it began with.
SOURCE = "records.json"
# Of two towers: the distinct candidates of the training rows, and how often each is in them.
CANDIDATES = "candidates.npz"
# Of an index of candidates, put last.
INDEX_SUMMARY = "index.json"
