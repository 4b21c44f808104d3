"""The declared side of Skewless: the spec, the ID contract, records, manifest and errors."""

from skewless.schemas.errors import SkewlessError, SpecError
from skewless.schemas.spec.spec import Spec, load, parse

__all__ = ["SkewlessError", "Spec", "SpecError", "load", "parse"]
