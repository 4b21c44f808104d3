"""The options of `serve`, apart from it so that `--help` imports nothing heavy."""

from __future__ import annotations

import argparse

__all__ = ["serve"]


def serve(parser: argparse.ArgumentParser) -> None:
    """Adds the models, the addresses to listen at, and what requests may take."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="what `skewless export` left, or a directory of such, named 1, 2, …: the newest answers",
    )
    _addresses(parser)
    _models(parser)
    _settings(parser)
    _limits(parser)


def _addresses(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port",
        type=int,
        default=8501,
        help="for REST and the page; 0 for any that is free (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-port",
        type=int,
        default=8500,
        metavar="PORT",
        help="for gRPC; 0 for any that is free (default: %(default)s)",
    )
    parser.add_argument("--no-grpc", action="store_true", help="serve HTTP alone")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address to listen at; 0.0.0.0 for other machines too (default: %(default)s)",
    )


def _models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-name",
        metavar="NAME",
        help="what clients call the model (default: its spec's name)",
    )
    parser.add_argument(
        "--model-config-file",
        "--model_config_file",
        metavar="FILE",
        help="instead of MODEL: several models with their version policies and labels, in the text "
        "format of TensorFlow Serving's ModelServerConfig",
    )
    parser.add_argument(
        "--model-config-file-poll-wait-seconds",
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="time between looks at that file; 0 to read it once (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-version-labels-for-unavailable-models",
        "--allow_version_labels_for_unavailable_models",
        action="store_true",
        help="let a changed list of models give labels to versions that are not loaded yet",
    )
    parser.add_argument(
        "--poll",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="time between looks for a new version (default: %(default)s)",
    )


def _settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--monitoring-config-file",
        "--monitoring_config_file",
        metavar="FILE",
        help="where TensorFlow Serving's figures are, if anywhere, in the text format of its "
        "MonitoringConfig (default: /monitoring/prometheus/metrics)",
    )
    parser.add_argument(
        "--batching-parameters-file",
        "--batching_parameters_file",
        metavar="FILE",
        help="TensorFlow Serving's max_batch_size, batch_timeout_micros, max_enqueued_batches, "
        "num_batch_threads and allowed_batch_sizes, in its text format",
    )
    parser.add_argument(
        "--ssl-config-file",
        "--ssl_config_file",
        metavar="FILE",
        help="TLS for REST and gRPC: TensorFlow Serving's server_key, server_cert, custom_ca and "
        "client_verify, in its text format",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="bearer tokens, one a line: requests must bring one; read again when it changes",
    )


def _limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-body-bytes",
        type=int,
        default=16 * 1024 * 1024,
        metavar="N",
        help="the largest request (default: %(default)s)",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=1000,
        metavar="N",
        help="HTTP connections at a time; one more ends the one that waited longest for a request "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="the longest a request may take, and the last ones when stopping (default: %(default)s)",
    )
