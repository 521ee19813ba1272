"""How near the process is to its memory limit, in the steps by which it gives things up."""

import enum


class PressureLevel(enum.IntEnum):
    """What is given up; each level gives up what those below it do.

    NORMAL: nothing. HIGH: copies and samples of calls, and sheddable calls. FULL: all new calls.
    """

    NORMAL = 0
    HIGH = 1
    FULL = 2


class Pressure:
    """The level of a process, moved by readings of its memory; who gives something up looks at it.

    NORMAL ⇄ HIGH ⇄ FULL; up at once, down only once the use is clearly below where the level began, so that the memory
    which is freed by giving something up does not bring it back in the same second.

    Attributes:
        high: Share of the limit at which HIGH begins.
        full: Share at which FULL begins.
        level: By the last reading.
        used: Share of the limit that was used by the last reading.
    """

    def __init__(self, *, high: float, full: float) -> None:
        self._high = high
        self._full = full
        self.level = PressureLevel.NORMAL
        self.used = 0.0

    def read(self, used_bytes: int, limit_bytes: int) -> PressureLevel:
        """Take in a reading; return the level that is in force from now on. Without a limit there is no pressure."""
        self.used = _share(used_bytes, limit_bytes)
        self.level = self.foreseen(used_bytes, limit_bytes)
        return self.level

    def foreseen(self, used_bytes: int, limit_bytes: int) -> PressureLevel:
        """What `read` would return; nothing is moved."""
        return next_level(self.level, _share(used_bytes, limit_bytes), high=self._high, full=self._full)

    def __repr__(self) -> str:
        return f"<Pressure {self.level.name} {self.used:.0%}>"


def _share(used_bytes: int, limit_bytes: int) -> float:
    return used_bytes / limit_bytes if limit_bytes > 0 else 0.0


def next_level(level: PressureLevel, used: float, *, high: float, full: float) -> PressureLevel:
    """The level after `level` when the share `used` of the limit is in use.

    A level that began at 0.9 ends below 0.88: a fifth of what was left free must have come free besides.
    """
    begins = {PressureLevel.HIGH: high, PressureLevel.FULL: full}
    reached = PressureLevel.NORMAL
    for each, share in begins.items():
        ends = share - 0.2 * (1.0 - share)
        if used >= (ends if each <= level else share):
            reached = each
    return reached
