"""A first spec, guessed from a sample of the data.

    sample → profile of each column → guess of each feature and of the label → commented spec

`pieces` says where a sample is read, `sample` reads it, `profile` counts, `features` and `label`
decide, `overlap` finds columns that give the label away or repeat another, `proposal` puts the spec
together and `document` writes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from skewless.beam_pipelines import arguments
from skewless.beam_pipelines.init.document import as_json, as_table, as_yaml
from skewless.beam_pipelines.init.proposal import Proposal, propose
from skewless.beam_pipelines.init.sample import take_sample
from skewless.beam_pipelines.init.training.sides import Sides
from skewless.beam_pipelines.init.training.towers import with_towers
from skewless.schemas.ending import run_module
from skewless.schemas.errors import DataError, UsageError
from skewless.schemas.spec.spec import parse
from skewless.schemas.spec.yaml_document import read_yaml
from skewless.schemas.staged import write_whole

__all__ = ["execute", "guess_spec", "run"]

_READ_BACK_CHARACTERS = 200_000


def guess_spec(
    inputs: Sequence[str],
    label: str | Sequence[str] | None = None,
    sides: Sides | None = None,
) -> tuple[Proposal, str]:
    """Guesses a spec from files of rows.

    Args:
      inputs: Globs, as `preprocess` takes them.
      label: The column to predict, or several; of two towers, the one that says which rows count.
      sides: Proposes two towers, to find candidates for queries.

    Returns:
      The proposal, and the spec file's text.

    Raises:
      UsageError: If a glob matches nothing, there is no such label, or no column for a side, or two
        towers are given several labels.
      DataError: If a file cannot be read, or nothing can be learned from the rows.
    """
    labels = [label] if isinstance(label, str) else [*(label or ())]
    if sides is not None and len(labels) > 1:
        raise UsageError(
            f"--label {labels[1]}: two towers learn from one label at most, which says which rows "
            "count; name one"
        )
    sample = take_sample(inputs)
    try:
        proposal = propose(sample, labels, inputs)
        if sides is not None:
            proposal = with_towers(proposal, sides)
    except DataError as problem:
        raise DataError(f"{', '.join(inputs)}: {problem}") from problem
    text = as_yaml(proposal, inputs)
    # Reading 100,000 names back takes longer than all that was done before.
    short = len(text) < _READ_BACK_CHARACTERS
    parse(read_yaml(text, "guess") if short else proposal.document, source="guess")
    return proposal, text


def execute(known: argparse.Namespace) -> int:
    """Does what parsed arguments ask for; returns the exit code."""
    output = None if known.output is None else Path(known.output)
    # A pipe or a device, such as /dev/stdout, is there before anything is written.
    taken = output is not None and (output.is_file() or output.is_dir())
    if taken and not known.overwrite:
        raise UsageError(f"{output}: is there already; add --overwrite, or choose another name")
    sides = Sides(known.query, known.candidate) if known.task == "recommend" else None
    if sides is None and (known.query or known.candidate):
        raise UsageError("--query, --candidate: go with --task recommend; add it")
    proposal, text = guess_spec(known.data, known.label, sides)
    if output is not None:
        write_whole(output, text)
    elif not known.json:
        print(text, end="")
    if known.json:
        print(as_json(proposal))
    elif not known.quiet:
        # Without a file the spec itself is what may be redirected.
        print(as_table(proposal), file=sys.stdout if output else sys.stderr)
    return 0


def run(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit code."""
    return run_module(
        "skewless.beam_pipelines.init", arguments.init, execute, argv, description=__doc__
    )
