"""What the runs of a model were seen to cost, as people look at it."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class CostPoint:
    """What runs of about so many rows took.

    Attributes:
        rows: Of a run.
        length: Positions of a row, padded; 1 for a model whose calls choose none.
        threads: Inside the run.
        seconds: One run.
        runs: That were seen.
    """

    rows: int
    length: int
    threads: int
    seconds: float
    runs: int


@dataclasses.dataclass(frozen=True, slots=True)
class BestPoint:
    """The rows beyond which rows a second stop improving, at one length."""

    length: int
    rows: int
    rows_per_second: float
