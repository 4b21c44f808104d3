"""Commands that leave their output in a bucket, killed at random moments: `python -m tests.killed_commands`.

    preprocess, train, export    replaced by one of another seed: the old or the new, whole
    stream                       started again with more rows: each row in one pane, once (tests/killed_stream.py)

Each of `preprocess`, `train` and `export` replaces what an earlier one of another seed left, and is killed
by SIGKILL at some moment of the time that it takes. Then what lies there must be, whole, what either would
have left; a last one runs to its end, and nothing of the killed ones may be left. By hand: 30 kills of each
take some minutes (docs/storage.md).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import yaml

from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.location import Location
from tests.conftest import SHOP, shop_csv
from tests.killed_stream import KilledStream
from tests.object_stores import STORES

Command = Callable[[int], list[str]]


def digest_of_records(directory: Path) -> str:
    """Returns what the records of all splits hold, whatever their order."""
    from tests.test_storage_servers import records_of

    found = {
        split: sorted(map(str, counts.elements()))
        for split, counts in records_of(directory).items()
    }
    return json.dumps(found)


def digest_of_run(directory: Path) -> str:
    """Returns the weights of a finished run, which must have all that a run has."""
    from skewless.model.training.run_directory import load_trained

    metrics = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    weights = load_trained(directory / "model.keras").get_weights()
    return json.dumps([metrics["eval"], [np.asarray(weight).tobytes().hex() for weight in weights]])


def digest_of_model(directory: Path) -> str:
    """Returns what an exported model, whose files are checked first, says of some rows."""
    from skewless.model.exported.served_model import ServedModel

    rows = [{"text": text, "user": "u1"} for text in ("The great thing", "The bad thing", "")]
    outputs = ServedModel.open(directory).predict(rows)
    return json.dumps({name: values.tolist() for name, values in outputs.items()})


class Killed:
    """One command, of seeds 1 and 2 in turn, at one URI."""

    def __init__(
        self, uri: str, command: Command, digest: Callable[[Path], str], folder: Path
    ) -> None:
        self._uri, self._command, self._digest, self._folder = uri, command, digest, folder
        self._readers = 0

    def run(self, kills: int, moments: random.Random) -> Counter[str]:
        """Returns how often the old and how often the new was there after a kill."""
        whole, seconds = {}, 0.0
        for seed in (1, 2):
            begun = time.monotonic()
            assert self._started(seed).wait() == 0
            seconds = time.monotonic() - begun
            whole[seed] = self._there()
        assert whole[1] != whole[2]
        outcomes: Counter[str] = Counter()
        seen = 2
        for _ in range(kills):
            seed = 3 - seen
            process = self._started(seed)
            time.sleep(seconds * moments.random() * 1.05)
            process.kill()
            process.wait()
            there = self._there()
            assert there in whole.values(), f"{self._uri} holds neither the old nor the new"
            outcomes["new" if there == whole[seed] else "old"] += 1
            seen = seed if there == whole[seed] else seen
        assert self._started(3 - seen).wait() == 0
        assert self._there() == whole[3 - seen]
        place = Location.of(self._uri)
        inside = len(place.path) + 1
        left = {path[inside:].partition("/")[0] for path in place.system.find(place.path)}
        assert len(left - {"manifest.json"}) == 1, f"orphans at {self._uri}: {left}"
        return outcomes

    def _started(self, seed: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "skewless",
                *self._command(seed),
                "--output",
                self._uri,
                "--overwrite",
            ],
            env={**os.environ, "SKEWLESS_CACHE": str(self._folder / "writer")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _there(self) -> str:
        # A cache of its own, so that nothing is found there but what the store has.
        self._readers += 1
        os.environ["SKEWLESS_CACHE"] = str(self._folder / f"reader{self._readers}")
        return self._digest(fetched(self._uri))


def main(argv: Sequence[str] | None = None) -> int:
    """Kills commands; returns 0 if all that was left was whole."""
    parser = argparse.ArgumentParser(prog="python -m tests.killed_commands", description=__doc__)
    parser.add_argument("--store", choices=list(STORES), default="s3")
    parser.add_argument(
        "--kills", type=int, default=30, help="of each command (default: %(default)s)"
    )
    parser.add_argument(
        "--command",
        action="append",
        choices=["preprocess", "train", "export", "stream"],
        help="only this one; may be given again",
    )
    known = parser.parse_args(argv)
    moments = random.Random(1)
    with tempfile.TemporaryDirectory() as name, STORES[known.store]() as variables:
        os.environ.update(variables)
        folder, bucket = Path(name), f"{known.store}://bucket"
        made = {seed: _made(folder / str(seed), seed) for seed in (1, 2)}
        commands: dict[str, tuple[Command, Callable[[Path], str]]] = {
            "preprocess": (
                lambda seed: ["preprocess", f"{made[seed]}.yaml", "--input", f"{made[seed]}.csv"],
                digest_of_records,
            ),
            "train": (lambda seed: ["train", f"{made[seed]}-records"], digest_of_run),
            "export": (lambda seed: ["export", f"{made[seed]}-run"], digest_of_model),
        }
        for word, (command, digest) in commands.items():
            if known.command and word not in known.command:
                continue
            outcomes = Killed(f"{bucket}/{word}", command, digest, folder / word).run(
                known.kills, moments
            )
            print(
                f"{word} to {known.store}: {known.kills} kills, {dict(outcomes)}, no mixture",
                flush=True,
            )
        if not known.command or "stream" in known.command:
            stream = KilledStream(f"{bucket}/stream", made[1], folder / "stream")
            print(f"stream to {known.store}: {stream.run(known.kills, moments)}", flush=True)
    return 0


def _made(folder: Path, seed: int) -> Path:
    """Returns the beginning of the paths of a spec, a table, records and a run of a seed."""
    folder.mkdir()
    made = folder / "shop"
    shop_csv(Path(f"{made}.csv"), seed=seed)
    training = {**SHOP["training"], "seed": seed}
    Path(f"{made}.yaml").write_text(
        yaml.safe_dump({**SHOP, "training": training}), encoding="utf-8"
    )
    for words in (
        ["preprocess", f"{made}.yaml", "--input", f"{made}.csv", "--output", f"{made}-records"],
        ["train", f"{made}-records", "--output", f"{made}-run"],
    ):
        command = [sys.executable, "-m", "skewless", *words, "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return made


if __name__ == "__main__":
    raise SystemExit(main())
