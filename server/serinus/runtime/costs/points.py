"""What is known of runs, as a value to be kept from one start to the next."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class KnownCost:
    """What runs of about so many rows, of about such a length, took.

    Attributes:
        rows: Mean of the runs.
        length: The same, of a padded row; 1 for a model whose calls choose none.
        seconds: One run.
        runs: So many were seen; fewer than there were, of what was learned long ago.
    """

    rows: float
    length: float
    seconds: float
    runs: int
