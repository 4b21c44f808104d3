"""`python -m beam_pipelines.init`."""

from beam_pipelines.init import run

if __name__ == "__main__":
    raise SystemExit(run())
