"""`python -m skewless.model.serve`."""

from skewless.model.serve import run

if __name__ == "__main__":
    raise SystemExit(run())
