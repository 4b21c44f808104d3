"""Exported models from Python: made by `export`, asked by `predict`, `transform` and `explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from skewless.environment import keras_as_it_was
from skewless.forked import refuse_forked
from skewless.frames import TableLike, as_globs, model_columns, plain_row, refuse_nearly_named
from skewless.records import Records, directory_of
from skewless.run import Run
from skewless.schemas.errors import UsageError
from skewless.schemas.rows.native.spellings import Spellings
from skewless.schemas.spec.spec import Spec
from skewless.schemas.storage.fetched import fetched
from skewless.schemas.storage.known_as import origin_of
from skewless.schemas.storage.leaving import leaving

if TYPE_CHECKING:
    import keras

    from skewless.beam_pipelines.nearest.opened import Index
    from skewless.model.explained.recommended import Recommendation
    from skewless.model.explained.row import Explanation
    from skewless.model.exported.served_model import ServedModel

__all__ = ["Model", "export", "open_model"]


def export(
    source: Run | keras.Model | str | Path,
    output: str | Path,
    *,
    records: Records | str | Path | None = None,
    overwrite: bool = False,
    check: bool = True,
    track: str | None = None,
) -> Model:
    """Leaves a self-contained SavedModel with the transform inside, and proves it.

    Args:
      source: A run or its directory; or a Keras model of your own, whose inputs are a dict by
        record entry (any of them) and whose output has the shape of the label's predictions; of several
        labels a dict of such by label.
      output: The SavedModel's directory, a path or a URI.
      records: The records that the proof is on: of a run by default those trained on; of your own
        model those that it was trained on, without default.
      overwrite: Replaces what is at `output`.
      check: Whether to prove parity on the rows kept with the records.
      track: `mlflow:URI`, to give a run's model to MLflow as well.

    Raises:
      UsageError: If the output is there, or an own model comes without records or with inputs that
        the records do not have.
      ParityError: If the exported graph does not reproduce the records; nothing is left.

    Example:
      sk.export(model, "served", records=records)
    """
    from skewless.model.export import export as export_run
    from skewless.model.export import export_own_model

    directory = None if records is None else directory_of(records)
    if isinstance(source, Run | str | Path):
        run = source.path if isinstance(source, Run) else fetched(source)
        with leaving(output, overwrite=overwrite) as path:
            export_run(
                run,
                path,
                records_directory=directory,
                overwrite=overwrite,
                check=check,
                track=track,
            )
    elif track is not None:
        raise UsageError("track: goes with a run, whose training was told of; leave it out")
    elif directory is None:
        raise UsageError("records: expected those that the model was trained on, got none")
    else:
        with leaving(output, overwrite=overwrite) as path:
            export_own_model(source, directory, path, overwrite=overwrite, check=check)
    return open_model(output)


def open_model(directory: str | Path) -> Model:
    """Checks every file of an exported model and loads it.

    Raises:
      UsageError: If the directory is not one that `export` left.
      DataError: If a file is missing, or not as exported.
    """
    from skewless.model.exported.served_model import ServedModel

    refuse_forked()
    return Model(ServedModel.open(fetched(directory)))


class Model:
    """An exported model, in memory; pickled, it is its place, from which it is opened again."""

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._spellings = Spellings(served.spec, served.words.vocabulary)
        self.path = served.directory

    @property
    def spec(self) -> Spec:
        """The spec that it was trained with."""
        return self._served.spec

    def predict(self, data: TableLike) -> dict[str, np.ndarray]:
        """Returns what `serving_default` gives for each row.

        Args:
          data: A DataFrame, an Arrow table or dataset, or an iterable of RecordBatches; only the
            features' columns are read, and absent ones are missing values.

        Returns:
          [rows, …] arrays by output, `predictions` among them, in the order of the rows; texts, such as
          `class`, are strings.

        Raises:
          DataError: If a value is not of its column's kind.
        """
        return self._called("serving_default", data)

    def transform(self, data: TableLike) -> dict[str, np.ndarray]:
        """Returns [rows, …] arrays by record entry: what the model is given for each row.

        Args:
          data: As for `predict`.

        Raises:
          DataError: If a value is not of its column's kind.
        """
        return self._called("transform_features", data)

    def vectors(self, data: TableLike, side: Literal["query", "candidate"] = "query") -> np.ndarray:
        """Returns [rows, width] float32, of length 1, of the rows' one side; of two towers only.

        Args:
          data: As for `predict`; only columns of that side are read.
          side: Whose tower.

        Raises:
          UsageError: If the model has no two towers.
          DataError: If a value is not of its column's kind.
        """
        from skewless.beam_pipelines.nearest.side import side_of, towers_in

        return self._called(side, data, side_of(towers_in(self.path), side))["vectors"]

    def index(
        self,
        data: TableLike,
        output: str | Path,
        *,
        id: str | None = None,
        queries: Sequence[str] = (),
        search_width: int | None = None,
        max_rejected: float = 0.01,
        overwrite: bool = False,
        options: Sequence[str] = (),
    ) -> Index:
        """Embeds a catalogue of candidates and leaves an index over it, as `skewless index` does.

        Args:
          data: Candidates: paths, globs or rows, as `preprocess` takes them.
          output: The directory to leave, a path or a URI.
          id: The column of IDs; by default that of the feature that names candidates.
          queries: Paths or globs of queries that recall is measured on; without any, candidates
            stand for them.
          search_width: How many candidates a search keeps in sight; by default the least of 64 to
            1,024 that finds 95% of what brute force does.
          max_rejected: The largest share of rejected rows that still counts as success.
          overwrite: Replaces an index at `output`.
          options: Beam's options, as on a command line.

        Raises:
          UsageError: If the model has no two towers, no column of IDs is known, usearch is not
            installed, or the output is there.
          DataError: If candidates of one ID differ, or the input cannot be used.

        Example:
          found, cosines = model.index(products, "index").find(model.vectors(users), 10)
        """
        with keras_as_it_was():
            from skewless.beam_pipelines.index import index as job
            from skewless.beam_pipelines.nearest.opened import open_index

            with leaving(output, overwrite=overwrite) as path, as_globs(data, path) as globs:
                job(
                    self.path,
                    globs,
                    path,
                    id=id,
                    queries=queries,
                    search_width=search_width,
                    max_rejected=max_rejected,
                    overwrite=overwrite,
                    options=options,
                )
            return open_index(output)

    def __reduce__(self) -> tuple[Any, ...]:
        return open_model, (origin_of(self.path) or str(self.path.absolute()),)

    def explain(
        self, row: Mapping[str, Any] | TableLike, *, label: str | None = None
    ) -> Explanation:
        """Walks one raw row through the model: tokens, IDs, and the score without each feature.

        Args:
          row: Values by raw column: a dict, a pandas Series, or a table of one row.
          label: Of several, the one whose score is told of; by default the first.

        Example:
          print(model.explain({"title": "Great thing", "price": 12.5}))
        """
        from skewless.model.explain import explain

        return explain(self._served, self._plain(row), label=label)

    def recommend(
        self,
        row: Mapping[str, Any] | TableLike,
        *,
        exclude: Sequence[str] = (),
        count: int | None = None,
    ) -> Recommendation:
        """Finds candidates for one query, and tells what each part of it did to their scores.

        Args:
          row: Values by raw column of the query's side: a dict, a Series, or a table of one row.
          exclude: Names of candidates not to be found.
          count: How many to find, at most the longest of the spec's cutoffs; if not given ten, or as many.

        Raises:
          UsageError: If the model finds no candidates by name, or `count` is out of range.
          DataError: If a value is not of its column's kind.

        Example:
          print(model.recommend({"user_id": "u7", "country": "k3"}, exclude=["p12"]))
        """
        from skewless.model.explained.recommended import recommend

        return recommend(self._served, self._plain(row), exclude=exclude, count=count)

    def _plain(self, row: Mapping[str, Any] | TableLike) -> dict[str, Any]:
        from skewless.schemas.rows.raw_columns import RowColumns

        refuse_forked()
        plain = plain_row(row)
        refuse_nearly_named(RowColumns(self.spec, serving=True).wanted, plain)
        scalars = {name: value for name, value in plain.items() if type(value) in (bool, float)}
        self._spellings.check({name: pa.array([value]) for name, value in scalars.items()})
        return plain

    def _called(
        self, signature: str, data: TableLike, spec: Spec | None = None
    ) -> dict[str, np.ndarray]:
        refuse_forked()
        with keras_as_it_was():
            parts = [
                self._served.call(signature, columns)
                for columns in model_columns(data, spec or self.spec, self._spellings)
            ]
        if not parts:
            raise UsageError("expected at least one row, got none")
        return {name: _said([part[name] for part in parts]) for name in parts[0]}

    def __repr__(self) -> str:
        return f"Model({str(self.path)!r}: {self.spec.name})"

    def _repr_html_(self) -> str:
        """Returns the declaration in short, for notebooks."""
        import html

        features = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{feature.type}</td></tr>"
            for name, feature in self.spec.features.items()
        )
        return (
            f"<p><b>{html.escape(str(self.path))}</b>: {html.escape(self.spec.name)}</p>"
            f"<table><tr><th>feature</th><th>type</th></tr>{features}</table>"
        )


def _said(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Returns [rows, …] an output of all batches, texts as strings: bytes equal no label of a frame."""
    values = np.concatenate(parts)
    if values.dtype != object:
        return values
    texts = [text.decode("utf-8", "replace") for text in values.ravel()]
    return np.array(texts, object).reshape(values.shape)
