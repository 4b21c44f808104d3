"""`python -m model.report`."""

from model.report import run

if __name__ == "__main__":
    raise SystemExit(run())
