"""`python -m skewless.beam_pipelines.init`."""

from skewless.beam_pipelines.init import run

if __name__ == "__main__":
    raise SystemExit(run())
