"""Which versions are kept out because workers died of them. No clock, no processes: told what happens, it decides."""

import dataclasses
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, Self

from serinus.core.version import ModelVersion, Version

REASON = "QUARANTINED"
"""Why a version that is kept out is not loaded, for programs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that is kept out.

    Attributes:
        version: Which.
        deaths: At how many ends of a worker it was running or being loaded.
        window_s: Within so many seconds.
        last_end: How the last of them ended, such as "signal 11".
    """

    version: ModelVersion
    deaths: int
    window_s: float
    last_end: str

    @property
    def sentence(self) -> str:
        """What happened and how to lift it, for whoever wonders why the version does not serve."""
        return (
            f"{self.version} was running at {self.deaths} deaths of a worker within {self.window_s:g} s, "
            f"the last one by {self.last_end}, and is not loaded any more; "
            f"'serinus models load {self.version}' tries it again"
        )

    def body(self) -> dict[str, Any]:
        """As values of JSON; `of` reads them."""
        return {
            "model": self.version.model,
            "version": self.version.version_text,
            "number": self.version.number,
            "deaths": self.deaths,
            "window_s": self.window_s,
            "last_end": self.last_end,
        }

    @classmethod
    def of(cls, body: dict[str, Any]) -> Self:
        """What `body` made."""
        version = ModelVersion(body["model"], Version.parse(body["version"]), body["number"])
        return cls(version, body["deaths"], body["window_s"], body["last_end"])


class Quarantine:
    """Counts deaths by the versions that were at work. Suspected → quarantined → lifted, and suspected anew.

    A version that happened to run beside a culprit is suspected as well; it is kept out only if it was there at too
    many deaths itself. Only versions with a death in the window, or kept out, are remembered.

    Attributes:
        most_deaths: So many within the window are put up with.
        window_s: Seconds.
    """

    def __init__(self, *, most_deaths: int, window_s: float) -> None:
        self._most_deaths = most_deaths
        self._window_s = window_s
        self._deaths: dict[ModelVersion, deque[float]] = {}
        self._kept_out: dict[ModelVersion, Quarantined] = {}

    def __repr__(self) -> str:
        return f"<Quarantine {sorted(map(str, self._kept_out))} [{len(self._deaths)} suspects]>"

    def entries(self) -> Sequence[Quarantined]:
        """What is kept out, in the order in which it was found."""
        return tuple(self._kept_out.values())

    def died(self, suspects: Collection[ModelVersion], *, end: str, now: float) -> Sequence[Quarantined]:
        """A worker died while `suspects` were at work in it; gives what is kept out because of that.

        Args:
            suspects: What ran or was loaded.
            end: How the worker ended, in a few words.
            now: Seconds, on any clock that does not go back.
        """
        self._forget_before(now - self._window_s)
        found: list[Quarantined] = []
        for version in sorted(suspects, key=str):
            if version in self._kept_out:
                continue
            deaths = self._deaths.setdefault(version, deque())
            deaths.append(now)
            if len(deaths) > self._most_deaths:
                found.append(Quarantined(version, len(deaths), self._window_s, end))
                del self._deaths[version]
        self._kept_out.update((each.version, each) for each in found)
        return found

    def lift(self, model: str, version: str) -> Sequence[Quarantined]:
        """Somebody wants a version tried again, or all of a model for ""; gives what was kept out until now.

        Deaths so far do not count any more.
        """
        lifted = [each for each in self._kept_out.values() if _is_meant(each.version, model, version)]
        for each in lifted:
            del self._kept_out[each.version]
        for suspect in [suspect for suspect in self._deaths if _is_meant(suspect, model, version)]:
            del self._deaths[suspect]
        return lifted

    def _forget_before(self, time: float) -> None:
        for version, deaths in list(self._deaths.items()):
            while deaths and deaths[0] <= time:
                deaths.popleft()
            if not deaths:
                del self._deaths[version]


def _is_meant(found: ModelVersion, model: str, version: str) -> bool:
    return found.model == model and version in {"", found.version_text}
