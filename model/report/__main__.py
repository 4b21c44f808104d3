"""`python -m skewless.model.report`."""

from skewless.model.report import run

if __name__ == "__main__":
    raise SystemExit(run())
