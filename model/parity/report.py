"""What the parity proof found, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["TOLERANCE", "Difference", "Report"]

TOLERANCE = 1e-6
_SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """One value that differs, or a row that has no counterpart."""

    key: str
    feature: str
    record: str
    served: str

    def __str__(self) -> str:
        return f"key {self.key!r}, {self.feature}: record {self.record}, served {self.served}"


@dataclass
class Report:
    """What the proof compared and found.

    Attributes:
      rows: Raw rows replayed.
      matched: Of these, rows equal to their record in every bit.
      within_tolerance: Of these, rows whose floats differ by at most `TOLERANCE`.
      duplicate: Of these, rows whose declared key an earlier row has.
      extra: Of these, rows that the job kept among the rejected ones.
      records: Records on the other side.
      unmatched_records: Records that no raw row reproduces; asked only of a whole input.
      mismatches: Rows that differ from their record, or were lost.
      altered: Files of the exported model that are not as they were exported.
      prediction_difference: The largest one between served and trained, relative above 1.
    """

    rows: int = 0
    matched: int = 0
    within_tolerance: int = 0
    duplicate: int = 0
    extra: int = 0
    features: int = 0
    values: int = 0
    records: int = 0
    unmatched_records: int = 0
    mismatches: int = 0
    differences: list[Difference] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    prediction_difference: float | None = None

    def show(self, key: bytes, feature: str, record: str, served: str) -> None:
        """Keeps a difference, of the first few."""
        if len(self.differences) < _SHOWN:
            text = key.decode("utf-8", "replace")
            self.differences.append(Difference(text, feature, record, served))

    @property
    def passed(self) -> bool:
        """Whether everything agrees."""
        wrong = self.mismatches or self.unmatched_records or self.altered
        return self.rows > 0 and not wrong

    def __str__(self) -> str:
        lines = [
            f"{'parity holds' if self.passed else 'PARITY FAILS'}: {self.rows:,} rows, "
            f"{self.features} features, {self.values:,} values; {self.matched:,} rows equal in every "
            f"bit, {self.within_tolerance:,} within {TOLERANCE:g}, {self.mismatches:,} mismatches"
        ]
        if not self.rows:
            lines.append("  no row was replayed, so nothing is proved; check --input")
        if self.duplicate:
            lines.append(f"  {self.duplicate:,} raw rows repeat an earlier row's key")
        if self.extra:
            lines.append(f"  {self.extra:,} raw rows are among the rejected ones")
        if self.unmatched_records:
            lines.append(
                f"  {self.unmatched_records:,} records are reproduced by no raw row; "
                "give --input all the files that were preprocessed"
            )
        if self.prediction_difference is not None:
            lines.append(f"  predictions differ by at most {self.prediction_difference:.3g}")
        lines += [f"  {path}: is not the file that was exported" for path in self.altered]
        return "\n".join(lines + [f"  {difference}" for difference in self.differences])
