"""`python -m skewless.model.serve`."""

import logging

from skewless.model.serve import run

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    raise SystemExit(run())
