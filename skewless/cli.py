"""The command line: parses, imports late, calls the jobs.

`skewless --help` must answer in under half a second, so nothing heavy is imported before a
command is known; and only Python's own modules before Ctrl-C ends the process without a traceback.
Exit codes: 0 done, 1 the data or a check failed, 2 wrong use, 130 or 143 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import gc
import importlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skewless.model.verify import RawRows
    from skewless.schemas.spared_imports import Library

__all__ = ["COMMANDS", "main", "rows_of_input", "silent_standard_error"]

VERSION = "0.1.0"
# Arguments and options that take a path, by metavar or name.
_PATHS = frozenset(
    {
        "DIR",
        "RUN",
        "MODEL",
        "DIR|RUN",
        "DIR|MODEL",
        "SPEC",
        "OUT",
        "FILE",
        "DATA",
        "GLOB",
        "[SPLIT=]GLOB",
        "memory|FILE",
        "WINDOWS",
        "RECORDS",
        "spec",
    }
)


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
      help: One line.
      module: Offers `execute(arguments)`; with `beam`, `execute(arguments, beam_arguments)`.
      examples: Two command lines.
      beam: Whether options it does not know are Beam's.
      libraries: What its modules import of the slow ones, in the order to load them.
    """

    help: str
    module: str
    examples: tuple[str, str]
    beam: bool = False
    libraries: tuple[Library, ...] = ()


_BEAM: tuple[Library, ...] = ("tensorflow", "apache_beam")
_KERAS: tuple[Library, ...] = ("tensorflow", "keras")
COMMANDS = {
    "init": Command(
        "a first spec, guessed from the data",
        "skewless.beam_pipelines.init",
        (
            "skewless init reviews.csv --label rating -o reviews.yaml",
            "skewless init 'data/*.parquet' --label clicked --json",
        ),
        libraries=_BEAM,
    ),
    "preprocess": Command(
        "rows to TFRecords, transform graph and manifest",
        "skewless.beam_pipelines.preprocess",
        (
            "skewless preprocess reviews.yaml --input 'data/*.csv' --output records",
            "skewless preprocess adult.yaml --input train.csv --input test=test.csv --output records",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "inspect": Command(
        "records in words, what an ID means; one row through a model",
        "skewless.beam_pipelines.inspect_records",
        (
            "skewless inspect records --split eval -n 3",
            """skewless inspect served --row '{"title": "Great thing", "price": 12.5}'""",
        ),
        libraries=("tensorflow",),
    ),
    "train": Command(
        "train the declared model from records",
        "skewless.model.train",
        ("skewless train records --output run", "skewless train records --output run --resume"),
        libraries=_KERAS,
    ),
    "compare": Command(
        "merges, or values of any key, over several seeds at the same budget",
        "skewless.model.compare",
        (
            "skewless compare records --merge concatenate,average,cross --set model.projection=32",
            "skewless compare records --vary features.title.encoder=mean,gru --seeds 5 --json",
        ),
        libraries=_KERAS,
    ),
    "evaluate": Command(
        "metrics of a run on a split, whole and by slice",
        "skewless.model.evaluate",
        (
            "skewless evaluate run --records records --split test",
            "skewless evaluate run --records records --slice country --slice age",
        ),
        libraries=_KERAS,
    ),
    "export": Command(
        "a self-contained SavedModel with the transform inside",
        "skewless.model.export",
        (
            "skewless export run --output served",
            "skewless export run --output served --records /moved/records",
        ),
        libraries=_KERAS,
    ),
    "verify": Command(
        "prove that what is served is what was trained",
        "skewless.model.verify",
        (
            "skewless verify served --records records --input 'data/*.csv'",
            "skewless verify served --records records",
        ),
        libraries=(*_KERAS, "apache_beam"),
    ),
    "predict": Command(
        "predictions for files of raw rows",
        "skewless.beam_pipelines.predict",
        (
            "skewless predict served --input new.csv --output predictions",
            "skewless predict served --input 'new/*.jsonl' --output predictions --format jsonl",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "serve": Command(
        "TensorFlow Serving's REST and gRPC interfaces, and a page",
        "skewless.model.serve",
        (
            "skewless serve served --port 8501",
            "skewless serve versions --model-name reviews --batching-parameters-file batching.txt",
        ),
        libraries=("tensorflow",),
    ),
    "stream": Command(
        "rows as they come in to windows of TFRecords",
        "skewless.beam_pipelines.stream",
        (
            "skewless stream reviews.yaml --source 'dir:///data/in/*.jsonl' --transform records/transform --output windows",
            "skewless stream reviews.yaml --source kafka://localhost:9092/reviews --transform records/transform "
            "--output windows --runner=FlinkRunner --checkpointing_interval=5000",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "report": Command(
        "one HTML page on records and runs",
        "skewless.model.report",
        (
            "skewless report run -o report.html",
            "skewless report records run another_run -o report.html",
        ),
    ),
    "run": Command(
        "from a table to an exported, proved model and its report",
        "skewless.from_table",
        (
            "skewless run reviews.csv --label rating -o reviews",
            "skewless run 'data/*.parquet' --spec reviews.yaml -o reviews --overwrite",
        ),
        libraries=(*_KERAS, "apache_beam"),
    ),
    "completion": Command(
        "completion of commands, options and files for a shell",
        "",
        (
            'eval "$(skewless completion bash)"',
            "skewless completion zsh > ~/.zfunc/_skewless",
        ),
    ),
    "demo": Command(
        "all of it on generated product reviews",
        "skewless.demo",
        ("skewless demo", "skewless demo --output /tmp/demo --rows 50000"),
        libraries=(*_KERAS, "apache_beam"),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    from skewless.schemas.ending import ended
    from skewless.schemas.errors import UsageError, nearest
    from skewless.schemas.storage.arguments import at_hand
    from skewless.schemas.verbosity import quieten

    arguments = list(sys.argv[1:] if argv is None else argv)
    first = next(iter(arguments), "")
    if first and not first.startswith("-") and first not in COMMANDS:
        hint = nearest(first, COMMANDS)
        print(f"skewless: no command {first!r}{hint}; see `skewless --help`", file=sys.stderr)
        return 2
    parser = _parser(arguments)
    known, unknown = parser.parse_known_args(arguments)
    if known.command is None:
        parser.print_help()
        return 2
    quieten(known.verbose, known.quiet)
    command = COMMANDS[known.command]

    def work() -> int:
        if unknown and not command.beam:
            raise UsageError(_unknown(unknown[0], known))
        with at_hand(known.command, known) as here:
            return _execute(here, unknown, command)

    return ended(
        f"skewless {known.command}",
        work,
        verbose=known.verbose,
        output=getattr(known, "output", None),
        left=lambda: _left(known),
    )


def _left(known: argparse.Namespace) -> str:
    """Returns what a command that did not end leaves to go on with."""
    if known.command in ("run", "demo"):
        return _steps_done(known.output)
    if known.command != "train":
        return ""
    from skewless.model.training.stopped_run import to_resume

    return to_resume(known.output)


def _steps_done(output: str) -> str:
    """Returns what a command of several steps has left of them; empty for nothing."""
    try:
        names = sorted(
            f"{entry.name}/" if entry.is_dir() else entry.name
            for entry in os.scandir(output)
            if not entry.name.startswith(".")
        )
    except OSError:
        return ""
    if not names:
        return ""
    return f"{output} holds {', '.join(names)} of the steps begun; begin anew with --overwrite"


def _execute(known: argparse.Namespace, beam_arguments: list[str], command: Command) -> int:
    from skewless.schemas.spared_imports import load_spared

    if known.command == "completion":
        return _completion(known)
    with silent_standard_error(known.verbose), _no_garbage_collection():
        load_spared(command.libraries, clouds=_may_reach_clouds(known, beam_arguments))
        module = importlib.import_module(_module(known, command))
    if command.beam:
        code: int = module.execute(known, beam_arguments)
    elif known.command == "verify" and known.input:
        code = module.execute(known, rows_of_input(known.records, known.input))
    else:
        code = module.execute(known)
    return code


def _may_reach_clouds(known: argparse.Namespace, beam_arguments: Sequence[str]) -> bool:
    """Whether an argument is a URI, or says anything to Beam that is not of a local job."""
    words = [*map(str, vars(known).values()), *beam_arguments]
    return any("://" in word for word in words) or any(
        word.startswith("--") and not word.startswith("--direct_") for word in beam_arguments
    )


def _module(known: argparse.Namespace, command: Command) -> str:
    """Returns what does the command; `inspect` is done by the side that its directory is of."""
    from skewless.schemas.records.layout import SAVED_MODEL

    if known.command == "inspect" and os.path.isfile(os.path.join(known.records, SAVED_MODEL)):
        return "skewless.model.explain"
    return command.module


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Spares modules being loaded, a million objects that stay, the search for garbage.

    That took about a second of the six that a small job lasts.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def silent_standard_error(verbose: bool) -> Iterator[None]:
    """Holds back what TensorFlow's libraries write while they load, before logging is set up.

    If loading fails, what was held back is written after all.
    """
    if verbose:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def rows_of_input(
    records: str | os.PathLike[str], inputs: Sequence[str]
) -> Callable[[], Iterator[RawRows]]:
    """Joins the two sides: files are read by beam_pipelines, compared by model."""
    from skewless.beam_pipelines.rows.read_rows import rows_of
    from skewless.beam_pipelines.sources import plan
    from skewless.model.verify import RawRows
    from skewless.schemas.records.layout import SPEC
    from skewless.schemas.spec.spec import load

    spec = load(os.path.join(records, SPEC))
    units = plan(inputs, spec)

    def rows() -> Iterator[RawRows]:
        for unit in units:
            for batch in rows_of(unit, spec):
                yield RawRows(batch.keys, batch.columns)

    return rows


def _unknown(option: str, known: argparse.Namespace) -> str:
    from skewless.schemas.errors import nearest

    valid = [f"--{name.replace('_', '-')}" for name in vars(known)]
    return f"unknown option {option}{nearest(option, valid)}; see `skewless {known.command} --help`"


def _parser(words: Sequence[str], *, everything: bool = False) -> argparse.ArgumentParser:
    """Returns the command line, with the options of the command named only, or of all."""
    from skewless.schemas.options_parser import OptionsParser
    from skewless.schemas.verbosity import verbosity

    parser = OptionsParser(
        prog="skewless",
        description="Rows in, TFRecords and a trained model out, and a served model that carries "
        "the very transform the records came from.",
    )
    parser.add_argument("--version", action="version", version=f"skewless {VERSION}")
    parser.set_defaults(verbose=False, quiet=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    asked = next((word for word in words if word in COMMANDS), None)
    for name, command in COMMANDS.items():
        examples = "\n".join(f"  {example}" for example in command.examples)
        child = commands.add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verbosity(child)
        if name == asked or everything:
            _options(name, command)(child)
    return parser


def _options(name: str, command: Command) -> Callable[[argparse.ArgumentParser], None]:
    if name == "completion":
        return _completion_options
    folder, _, inside = command.module.removeprefix("skewless.").partition(".")
    own = f"skewless.{folder}.arguments" if inside else command.module
    options: Callable[[argparse.ArgumentParser], None] = getattr(
        importlib.import_module(own), name if inside else "options"
    )
    return options


def _completion_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help="whose script to print")


def _completion(known: argparse.Namespace) -> int:
    """Prints the script that shtab writes for the whole command line."""
    import shtab

    parser = _parser([], everything=True)
    for action in _actions(parser):
        if action.choices is None and {action.metavar, action.dest} & _PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, known.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)


def entry_point() -> None:
    """Runs the command and leaves at once.

    A segmentation fault was seen at interpreter exit after success, in garbage collection of
    TensorFlow's and Arrow's threads; what is flushed by then is all that matters.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Until a command runs nothing is to be told of, or cleaned up, after Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        try:
            code: Any = main()
        except SystemExit as ended:  # argparse's, after --help, --version or wrong use.
            code = ended.code or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has seen enough; shells tell it by this code.
        code = 128 + signal.SIGPIPE
    # Beam's job server, a process of Java, is ended so.
    atexit._run_exitfuncs()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry_point()
