"""All commands, by name, in the order in which `--help` tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skewless.commands.command import Command

if TYPE_CHECKING:
    from skewless.schemas.spared_imports import Library

__all__ = ["COMMANDS"]

_BEAM: tuple[Library, ...] = ("tensorflow", "apache_beam")
_KERAS: tuple[Library, ...] = ("tensorflow", "keras")
COMMANDS = {
    "init": Command(
        "a first spec, guessed from the data",
        "skewless.beam_pipelines.arguments:init",
        "skewless.beam_pipelines.init:execute",
        (
            "skewless init reviews.csv --label rating -o reviews.yaml",
            "skewless init 'data/*.parquet' --label clicked --json",
        ),
        libraries=_BEAM,
    ),
    "preprocess": Command(
        "rows to TFRecords, transform graph and manifest",
        "skewless.beam_pipelines.arguments:preprocess",
        "skewless.beam_pipelines.preprocess:execute",
        (
            "skewless preprocess reviews.yaml --input 'data/*.csv' --output records",
            "skewless preprocess adult.yaml --input train.csv --input test=test.csv --output records",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "inspect": Command(
        "records in words, what an ID means; one row through a model",
        "skewless.beam_pipelines.arguments:inspect",
        "skewless.commands.inspection:execute",
        (
            "skewless inspect records --split eval -n 3",
            """skewless inspect served --row '{"title": "Great thing", "price": 12.5}'""",
        ),
        libraries=("tensorflow",),
    ),
    "train": Command(
        "train the declared model from records",
        "skewless.model.arguments:train",
        "skewless.model.train:execute",
        ("skewless train records --output run", "skewless train records --output run --resume"),
        libraries=_KERAS,
        left="skewless.model.training.stopped_run:to_resume",
    ),
    "compare": Command(
        "merges, or values of any key, over several seeds at the same budget",
        "skewless.model.arguments:compare",
        "skewless.model.compare:execute",
        (
            "skewless compare records --merge concatenate,average,cross --set model.projection=32",
            "skewless compare records --vary features.title.encoder=mean,gru --seeds 5 --json",
        ),
        libraries=_KERAS,
    ),
    "tune": Command(
        "other values of the spec's keys, tried by Optuna; the best compared over seeds",
        "skewless.model.tuning.arguments:tune",
        "skewless.model.tune:execute",
        (
            "skewless tune records --trials 40 --minutes 60 --output tuning",
            "skewless tune records --keep model.merge --vary model.hidden=[64],[512] --dry-run",
        ),
        libraries=_KERAS,
        left="skewless.model.tuning.stopped:to_go_on_with",
    ),
    "evaluate": Command(
        "metrics of a run on a split, whole and by slice",
        "skewless.model.arguments:evaluate",
        "skewless.model.evaluate:execute",
        (
            "skewless evaluate run --records records --split test",
            "skewless evaluate run --records records --slice country --slice age",
        ),
        libraries=_KERAS,
    ),
    "export": Command(
        "a self-contained SavedModel with the transform inside",
        "skewless.model.arguments:export",
        "skewless.model.export:execute",
        (
            "skewless export run --output served",
            "skewless export run --output served --records /moved/records",
        ),
        libraries=_KERAS,
    ),
    "verify": Command(
        "prove that what is served is what was trained",
        "skewless.model.arguments:verify",
        "skewless.commands.input_rows:execute",
        (
            "skewless verify served --records records --input 'data/*.csv'",
            "skewless verify served --records records",
        ),
        libraries=(*_KERAS, "apache_beam"),
    ),
    "predict": Command(
        "predictions for files of raw rows",
        "skewless.beam_pipelines.arguments:predict",
        "skewless.beam_pipelines.predict:execute",
        (
            "skewless predict served --input new.csv --output predictions",
            "skewless predict served --input 'new/*.jsonl' --output predictions --format jsonl",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "index": Command(
        "vectors of a catalogue's candidates, and an index to find them by",
        "skewless.beam_pipelines.arguments:index",
        "skewless.beam_pipelines.index:execute",
        (
            "skewless index served --input products.parquet --output index",
            "skewless index served --input 'products/*.csv' --queries users.csv --output index --overwrite",
        ),
        beam=True,
        libraries=_BEAM,
    ),
    "serve": Command(
        "TensorFlow Serving's REST and gRPC interfaces, and a page",
        "skewless.model.serve_arguments:serve",
        "skewless.model.serve:execute",
        (
            "skewless serve served --port 8501",
            "skewless serve versions --model-name reviews --batching-parameters-file batching.txt",
        ),
        libraries=("tensorflow",),
    ),
    "stream": Command(
        "rows as they come in to windows of TFRecords",
        "skewless.beam_pipelines.arguments:stream",
        "skewless.beam_pipelines.stream:execute",
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
        "skewless.model.arguments:report",
        "skewless.model.report:execute",
        (
            "skewless report run -o report.html",
            "skewless report records run another_run -o report.html",
        ),
    ),
    "run": Command(
        "from a table to an exported, proved model and its report",
        "skewless.from_table:options",
        "skewless.from_table:execute",
        (
            "skewless run reviews.csv --label rating -o reviews",
            "skewless run 'data/*.parquet' --spec reviews.yaml -o reviews --overwrite",
        ),
        libraries=(*_KERAS, "apache_beam"),
        left="skewless.commands.steps_done:steps_done",
    ),
    "completion": Command(
        "completion of commands, options and files for a shell",
        "skewless.commands.completion:options",
        "skewless.commands.completion:execute",
        (
            'eval "$(skewless completion bash)"',
            "skewless completion zsh > ~/.zfunc/_skewless",
        ),
    ),
    "demo": Command(
        "all of it on generated product reviews",
        "skewless.demo:options",
        "skewless.demo:execute",
        ("skewless demo", "skewless demo --output /tmp/demo --rows 50000"),
        libraries=(*_KERAS, "apache_beam"),
        left="skewless.commands.steps_done:steps_done",
    ),
}
