"""Tells by one's own clock who lives: whoever says something new every now and then."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(slots=True)
class _Heard:
    beat: int
    at: float


class Heartbeats:
    """Remembers when each beat changed last. Who is heard of for the first time is taken for living.

    Args:
        lost_after_s: Who has said nothing new for so long is silent.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[str, _Heard] = {}
        self._listened_at: float | None = None

    def __repr__(self) -> str:
        return f"<Heartbeats [{len(self._heard)} heard of]>"

    def silent(self, beats: Mapping[str, int], now: float) -> frozenset[str]:
        """Those of `beats` that have been silent for too long; who is not among them is forgotten.

        Whoever could not listen for a while has heard nothing because of that: everybody gets all the time again.

        Args:
            beats: What was read last, by who said it.
            now: Monotonic seconds.
        """
        was_deaf = self._listened_at is not None and now - self._listened_at > self._lost_after_s / 2
        self._listened_at = now
        heard = {}
        for who, beat in beats.items():
            before = self._heard.get(who)
            if before is None or before.beat != beat or was_deaf:
                before = _Heard(beat, now)
            heard[who] = before
        self._heard = heard
        return frozenset(who for who, last in heard.items() if now - last.at >= self._lost_after_s)

    def forget(self) -> None:
        """Start again."""
        self._heard = {}
        self._listened_at = None
