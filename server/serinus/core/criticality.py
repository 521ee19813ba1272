"""How much it matters that a call is answered when not all can be."""

import enum


class Criticality(enum.IntEnum):
    """What is given up last has the lowest number.

    CRITICAL: somebody waits for it and there is no second chance. DEFAULT: what a call is that says nothing.
    SHEDDABLE: a batch job's, a prefetch: it can be made again at a quieter time.
    """

    CRITICAL = 1
    DEFAULT = 2
    SHEDDABLE = 3
