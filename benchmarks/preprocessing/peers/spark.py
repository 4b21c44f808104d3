"""PySpark on this machine's cores: exact vocabularies, rows out as Parquet, Spark's own format.

Counts are SQL aggregates, for StringIndexer and CountVectorizer have no 0 for padding, 1 for
missing and 2 for unknown, and CountVectorizer leaves the order of ties open; what they compute is
the same. Rows are split by Spark's own hash, so other rows are held out than elsewhere.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.ml.feature import Bucketizer
from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T
from pyspark.sql.pandas.functions import arrow_udf

from benchmarks.preprocessing.peers import job

__all__ = ["preprocess"]

_TYPES = {
    **{name: T.StringType() for name in job.COLUMNS},
    "age": T.FloatType(),
    "price": T.FloatType(),
    "label": T.LongType(),
}
# Java's spelling; what separates words.
_SEPARATOR = r"['\u2019]*[^\p{L}\p{N}\p{M}'\u2019]+['\u2019]*|['\u2019]{2,}|^['\u2019]+|['\u2019]+$"


def preprocess(source: Path, output: Path, workers: int, ready: Any) -> dict[str, int]:
    """Does the job; returns its row counts."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    spark = (
        SparkSession.builder.master(f"local[{workers}]")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", 2 * workers)
        .config("spark.sql.adaptive.enabled", True)
        .config("spark.ui.enabled", False)
        .config("spark.local.dir", str(output / "temporary"))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    ready()
    rows = _prepared(_read(spark, source))
    train = rows.where(F.col("split") == "train")
    shares = [bucket / job.BUCKETS for bucket in range(1, job.BUCKETS)]
    numbers = train.agg(
        F.mean("age"), F.stddev_pop("age"), F.percentile_approx("price", shares, 100_000)
    ).first()
    assert numbers is not None
    mean, deviation, boundaries = numbers
    vocabularies = _vocabularies(train, output)
    read = Observation()
    bucketed = Bucketizer(
        splits=[-math.inf, *sorted(set(boundaries)), math.inf],
        inputCol="price",
        outputCol="price_bucket",
    ).transform(rows.observe(read, F.count(F.lit(1)).alias("rows")))
    outputs = bucketed.select(
        F.col("review_id").alias("__key__"),
        F.col("label").cast("float").alias("__label__"),
        "split",
        F.coalesce((F.col("age") - mean) / deviation, F.lit(0.0)).cast("float").alias("age"),
        (F.col("price_bucket") + 2).cast("long").alias("price"),
        *(_looked_up(name, vocabularies[name]) for name in job.VOCABULARIES),
    )
    outputs.write.partitionBy("split").parquet(str(output / "records"))
    written = spark.read.parquet(str(output / "records")).count()
    spark.stop()
    shutil.rmtree(output / "temporary", ignore_errors=True)
    return {"rows_in": read.get["rows"], "rows_out": written}


def _read(spark: SparkSession, source: Path) -> DataFrame:
    if source.suffix == ".parquet":
        return spark.read.parquet(str(source))
    schema = T.StructType([T.StructField(name, _TYPES[name]) for name in job.COLUMNS])
    return spark.read.csv(str(source), header=True, schema=schema, escape='"')


def _prepared(rows: DataFrame) -> DataFrame:
    """Cuts texts into words and chooses each row's split."""
    share = F.shiftrightunsigned(F.xxhash64("review_id"), 11) / float(1 << 53)
    split = F.when(share < 0.8, "train").when(share < 0.9, "eval").otherwise("test")
    return rows.withColumns({"split": split, **{name: _words(name) for name in job.TEXTS}})


def _words(name: str) -> Column:
    return F.array_remove(F.split(F.lower(F.col(name)), _SEPARATOR), "")


def _vocabularies(train: DataFrame, output: Path) -> dict[str, pa.Array]:
    """Counts all tokens in one pass; returns each feature's vocabulary, most frequent first."""
    tokens = F.concat(
        F.array(*(_token(_place(name), F.col(name)) for name in job.CATEGORICALS)),
        *(F.transform(name, partial(_token, _place(name))) for name in job.TEXTS),
    )
    counted = (
        train.select(F.explode(tokens).alias("token"))
        .groupBy("token.feature", "token.text")
        .count()
        .toArrow()
    )
    folder = output / "vocabularies"
    folder.mkdir()
    vocabularies = {}
    for place, name in enumerate(job.VOCABULARIES):
        mine = counted.filter(
            (pc.field("feature") == place) & (pc.field("count") >= job.MIN_COUNTS.get(name, 1))
        ).sort_by([("count", "descending"), ("text", "descending")])
        if name in job.TEXTS:
            mine = mine.slice(0, job.TEXT_VOCABULARY)
        vocabularies[name] = mine["text"].combine_chunks()
        (folder / name).write_text("".join(f"{token}\n" for token in mine["text"].to_pylist()))
    return vocabularies


def _place(name: str) -> Column:
    return F.lit(job.VOCABULARIES.index(name))


def _token(feature: Column, text: Column) -> Column:
    return F.struct(feature.alias("feature"), text.alias("text"))


def _looked_up(name: str, vocabulary: pa.Array) -> Column:
    """Returns IDs: 0 padding, 2 unknown, then the vocabulary; in Arrow, for SQL maps are scanned."""

    def ids(tokens: pa.Array) -> pa.Array:
        places = pc.index_in(tokens, value_set=vocabulary.cast(tokens.type))
        return pc.add(pc.fill_null(places, -1).cast(pa.int64()), 3)

    def padded_ids(lists: pa.Array) -> pa.Array:
        length = job.LENGTHS[name]
        lengths = np.minimum(lists.value_lengths().to_numpy(zero_copy_only=False), length)
        cut = pc.list_slice(lists, 0, length)
        padded = np.zeros((len(lists), length), np.int64)
        padded[np.arange(length) < lengths[:, None]] = ids(cut.flatten()).to_numpy()
        offsets = np.arange(len(lists) + 1, dtype=np.int32) * length
        return pa.ListArray.from_arrays(offsets, padded.reshape(-1))

    udf: Any = arrow_udf  # Its types leave out plain functions of arrays.
    if name in job.LENGTHS:
        column: Column = udf(padded_ids, T.ArrayType(T.LongType()))(F.col(name))
    else:
        column = udf(ids, T.LongType())(F.col(name))
    return column.alias(name)


if __name__ == "__main__":
    job.run(preprocess, __doc__)
