"""Stages of the batch jobs, `preprocess` and `predict`: planned, run as pipelines, accounted."""
