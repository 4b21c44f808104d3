"""The signatures of an exported model: what people and TensorFlow Serving call.

serving_default     examples: [batch] serialized tf.Example          -> predictions
predict_columns     one named tensor a raw column, JSON-friendly     -> predictions
                    (TF Serving may leave columns out; elsewhere an empty tensor means absent)
transform_features  examples                                         -> transformed features
classify, regress   inputs: [batch] serialized tf.Example            -> TF Serving's shapes
                    (of several labels `classify_LABEL` and `regress_LABEL`, one for each that fits;
                    under a ranking loss no `classify`, whose scores would be taken for probabilities)
generate            examples -> greedy and beam-searched sequences   (sequence labels)
query, candidate    examples                                         -> vectors (two towers)
recommend           columns of the query, and names to exclude       -> candidates (two towers)
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from skewless.model.exported.nearest import EXCLUDE
from skewless.model.exported.recommender import Recommender
from skewless.model.exported.served_label import served_labels
from skewless.model.exported.texts import Texts
from skewless.model.exported.traced import traced_once
from skewless.model.exported.transform import Transform, empty_column
from skewless.model.network.seq2seq import DECODER_INPUT, Generator
from skewless.schemas.records.manifest import Manifest
from skewless.schemas.records.records import LABEL
from skewless.schemas.rows.raw_columns import RawColumn, served_columns
from skewless.schemas.spec.label import SequenceLabel
from skewless.schemas.spec.network import Seq2SeqSpec, TwoTowerSpec
from skewless.schemas.spec.spec import Spec

__all__ = ["MISSING_INT64", "ServingFunctions"]

# A request has no other way to say that an integer is missing.
MISSING_INT64 = tf.int64.min
Outputs = dict[str, tf.Tensor]


class ServingFunctions(tf.Module):
    """The signatures' functions over one trained model and its transform graph."""

    def __init__(
        self,
        spec: Spec,
        manifest: Manifest,
        transform: Transform,
        model: keras.Model,
        classes: Mapping[str, list[bytes]],
        recommender: Recommender | None = None,
    ) -> None:
        """Takes all parts.

        Args:
          spec: The declaration.
          manifest: Of the records that the model was trained on.
          transform: Their transform graph.
          model: The trained model.
          classes: By record entry, label classes, or a target's vocabulary, in ID order.
          recommender: Of two towers.
        """
        super().__init__(name="serving")
        self._spec = spec
        self._transform = transform
        self._model = model
        self._outputs = _model_of(model)
        self._recommender = recommender
        self._labels = served_labels(spec, transform, classes)
        self._columns = served_columns(spec)
        self.arguments = _argument_names(self._columns, () if recommender is None else (EXCLUDE,))
        self._generator: Generator | None = None
        if isinstance(spec.model, Seq2SeqSpec):
            entry = manifest.features[LABEL]
            assert entry.cardinality is not None
            self._generator = Generator(model, spec, entry)
            assert isinstance(spec.label, SequenceLabel)
            self._texts = Texts(spec.label, classes[LABEL], entry.cardinality)

    def endpoints(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Returns each signature that fits the label, by name."""
        examples = tf.TensorSpec([None], tf.string, name="examples")
        inputs = tf.TensorSpec([None], tf.string, name="inputs")
        columns = self._column_specs(self.arguments)
        found: dict[str, tuple[Callable[..., Outputs], Any]] = {
            "serving_default": (lambda examples: self._predict_examples(examples), [examples]),
            "predict_columns": (lambda columns: self._predict_columns(columns), [columns]),
            "transform_features": (
                lambda examples: self._transform.of_examples(examples),
                [examples],
            ),
        }
        if self._recommender is not None:
            return _functions({**found, **self._found_by_towers(self._recommender, examples)})
        for served in self._labels:
            of_label = f"_{served.name}" if served.name else ""
            if served.label.has_classes and self._spec.training.loss is None:
                found[f"classify{of_label}"] = (self._of_inputs(served.classify), [inputs])
            if served.label.one_output:
                found[f"regress{of_label}"] = (self._of_inputs(served.regress), [inputs])
        if self._generator is not None:
            found["generate"] = (lambda examples: self._generate(examples), [examples])
        return _functions(found)

    def _column_specs(self, arguments: Iterable[str]) -> dict[str, tf.TensorSpec]:
        return {
            argument: _column_spec(argument, self._columns[self.arguments[argument]])
            for argument in arguments
        }

    def _found_by_towers(
        self, recommender: Recommender, examples: tf.TensorSpec
    ) -> dict[str, tuple[Callable[..., Outputs], Any]]:
        def query(examples: tf.Tensor) -> Outputs:
            return {"vectors": recommender.vectors("query", self._transform.of_examples(examples))}

        def candidate(examples: tf.Tensor) -> Outputs:
            features = self._transform.of_examples(examples)
            return {"vectors": recommender.vectors("candidate", features)}

        found: dict[str, tuple[Callable[..., Outputs], Any]] = {
            "query": (query, [examples]),
            "candidate": (candidate, [examples]),
        }
        if recommender.recommends:
            exclude = tf.TensorSpec([None, None], tf.string, name=EXCLUDE)
            columns = self._column_specs(_query_arguments(self._spec, self.arguments))
            found["recommend"] = (
                lambda columns, exclude: self._recommend(recommender, columns, exclude),
                [columns, exclude],
            )
        return found

    def _recommend(
        self, recommender: Recommender, columns: dict[str, tf.Tensor], exclude: tf.Tensor
    ) -> Outputs:
        features, batch = self._of_columns(columns)
        excluded = tf.shape(exclude, tf.int64)[0]
        check = tf.debugging.Assert(
            tf.equal(excluded, batch) | tf.equal(excluded, 0),
            [f"{EXCLUDE}: expected a list for each row, or none at all, got", excluded],
        )
        with tf.control_dependencies([check]):
            nothing = tf.fill([batch, 1], "")
        exclude = tf.cond(tf.equal(excluded, 0), lambda: nothing, lambda: exclude)
        return recommender.recommend(features, exclude)

    def predictions(self, features: Mapping[str, tf.Tensor]) -> Outputs:
        """Returns what `serving_default` does, for features as the transform graph gives them."""
        if self._generator is not None:
            (source,) = (features[name] for name in self._model.input if name != DECODER_INPUT)
            ids = self._generator.greedy(source)
            return {"predictions": ids, "texts": self._texts(ids)}
        if self._recommender is not None:
            return self._recommender.pair(features)
        predictions = self._outputs([features[name] for name in self._model.input])
        if not self._labels:
            return {"predictions": predictions}
        outputs: Outputs = {}
        for served in self._labels:
            own = predictions[served.name] if served.name else predictions
            outputs |= served.outputs(own)
        return outputs

    def _predict_examples(self, examples: tf.Tensor) -> Outputs:
        return self.predictions(self._transform.of_examples(examples))

    def _predict_columns(self, columns: dict[str, tf.Tensor]) -> Outputs:
        return self.predictions(self._of_columns(columns)[0])

    def _of_columns(self, columns: dict[str, tf.Tensor]) -> tuple[Outputs, tf.Tensor]:
        """Returns the features of columns by their arguments' names, others missing; their rows."""
        sizes = tf.stack([tf.shape(values, tf.int64)[0] for values in columns.values()])
        batch = tf.reduce_max(sizes)
        check = tf.debugging.Assert(
            tf.reduce_all(tf.equal(sizes, batch) | tf.equal(sizes, 0)),
            [
                f"{', '.join(columns)}: expected columns of one length, or empty ones, got",
                sizes,
            ],
            summarize=len(columns),
        )
        with tf.control_dependencies([check]):
            batch = tf.identity(batch)
        raw = {
            name: _to_sparse(columns[argument], self._columns[name], batch)
            if argument in columns
            else empty_column(tf.dtypes.as_dtype(self._columns[name].kind), batch)
            for argument, name in self.arguments.items()
        }
        return self._transform.of_sparse(raw, batch), batch

    def _of_inputs(self, shaped: Callable[[Outputs], Outputs]) -> Callable[[tf.Tensor], Outputs]:
        """Returns a function of examples, called `inputs`, to predictions shaped otherwise."""
        return lambda inputs: shaped(self._predict_examples(inputs))

    def _generate(self, examples: tf.Tensor) -> Outputs:
        assert self._generator is not None
        features = self._transform.of_examples(examples)
        (source,) = (features[name] for name in self._model.input if name != DECODER_INPUT)
        greedy = self._generator.greedy(source)
        beams, scores = self._generator.beam(source)
        return {
            "greedy_ids": greedy,
            "greedy_texts": self._texts(greedy),
            "beam_ids": beams,
            "beam_texts": self._texts(beams),
            "beam_scores": scores,
        }


def _functions(
    found: Mapping[str, tuple[Callable[..., Outputs], Any]],
) -> dict[str, tf.types.experimental.GenericFunction]:
    """Returns each function to be saved; saving traces it again, though not what it calls."""
    return {
        name: tf.function(
            traced_once(function, signature), input_signature=signature, autograph=False
        )
        for name, (function, signature) in found.items()
    }


def _model_of(model: keras.Model) -> Callable[[list[tf.Tensor]], Any]:
    """Returns a model as a function of its inputs, in their order, to float32 predictions.

    Those of several labels by name.
    """

    def outputs(inputs: list[tf.Tensor]) -> Any:
        named = dict(zip(model.input, inputs, strict=True))
        return tf.nest.map_structure(
            lambda predictions: tf.cast(predictions, tf.float32), model(named, training=False)
        )

    # Names of features need not be ones that TensorFlow gives to operations.
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=f"input_{place}")
        for place, tensor in enumerate(model.input.values())
    ]
    return traced_once(outputs, [specs])


def _query_arguments(spec: Spec, arguments: Mapping[str, str]) -> list[str]:
    """Returns the arguments whose columns features of the query read; all that own code may read."""
    assert isinstance(spec.model, TwoTowerSpec)
    read = spec.model.query_columns(spec)
    return [name for name, column in arguments.items() if read is None or column in read]


def _argument_names(columns: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Returns the columns by their names as arguments, which TensorFlow wants plain.

    It makes Python parameters of them, and operations that differ in more than their case.
    """
    arguments: dict[str, str] = {}
    taken = {"self", *reserved}
    for column in columns:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", column)
        argument = plain if re.match(r"[A-Za-z]", plain) else f"column_{plain}"
        while argument.lower() in taken or keyword.iskeyword(argument):
            argument += "_"
        taken.add(argument.lower())
        arguments[argument] = column
    return arguments


def _column_spec(argument: str, column: RawColumn) -> tf.TensorSpec:
    shape = [None, None] if column.multivalued else [None]
    return tf.TensorSpec(shape, tf.dtypes.as_dtype(column.kind), name=argument)


def _to_sparse(values: tf.Tensor, column: RawColumn, batch: tf.Tensor) -> tf.SparseTensor:
    """Returns [batch, (values)]; "", NaN and MISSING_INT64 are missing, as is an empty tensor."""
    if not column.multivalued:
        values = values[:, None]
    if column.kind == "string":
        present = tf.not_equal(values, "")
    elif column.kind == "int64":
        present = tf.not_equal(values, MISSING_INT64)
    else:
        # A NaN inside a vector keeps its place.
        present = tf.ones_like(values, tf.bool) if column.multivalued else tf.math.is_finite(values)
    indices = tf.where(present)
    shape = tf.stack([batch, tf.shape(values, tf.int64)[1]])
    return tf.SparseTensor(indices, tf.gather_nd(values, indices), shape)
