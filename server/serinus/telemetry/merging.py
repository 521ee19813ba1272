"""How the `/metrics` of several processes become one: counters add up, gauges follow a rule each.

All texts are our own `exposition`s: one sample a line, labels sorted, no timestamps. So equal series are equal texts,
and nothing has to take labels apart; prometheus_client's parser takes twenty times as long.
"""

import dataclasses
import enum
import math
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from prometheus_client.utils import floatToGoString

_HELP = "# HELP "
_TYPE = "# TYPE "
_ADDS_UP = frozenset({"counter", "histogram", "summary"})
_MODEL = re.compile(r'[{,]model="([^"]*)"')
_VERSION = re.compile(r'[{,]version="([^"]*)"')


class Rule(enum.Enum):
    """What several processes' values of one gauge become."""

    SUM = enum.auto()
    LEAST = enum.auto()
    MOST = enum.auto()


GAUGE_RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "serinus_queue_calls": Rule.SUM,
        "serinus_queue_rows": Rule.SUM,
        "serinus_bytes_in_flight": Rule.SUM,
        "serinus_bytes_limit": Rule.SUM,
        "serinus_event_loop_lag_seconds": Rule.MOST,
        "serinus_registry_revision": Rule.LEAST,  # what all of them act by
        "serinus_registry_behind": Rule.MOST,  # 1 while any is
        "serinus_breaker_state": Rule.MOST,  # each process has a breaker of its own: 1 where any is in that state
        "serinus_traffic_weight_ratio": Rule.MOST,
        "serinus_rollout_status": Rule.MOST,
        "serinus_rollout_evidence_log10": Rule.MOST,
        "nv_inference_pending_request_count": Rule.SUM,
        "process_virtual_memory_bytes": Rule.SUM,
        "process_resident_memory_bytes": Rule.SUM,
        "process_open_fds": Rule.SUM,
        "process_max_fds": Rule.LEAST,  # the process that runs out first
        "process_start_time_seconds": Rule.LEAST,
        "python_info": Rule.MOST,
    }
)
"""By gauge; any other shows the most that a process says, which no alert on a threshold misses."""


@dataclasses.dataclass(slots=True)
class Family:
    """The series of one metric.

    Attributes:
        name: Of the metric.
        documentation: For people; escaped as in the text.
        kind: "counter", "gauge", "histogram", ...
        series: Value by name and labels, both as in the text.
    """

    name: str
    documentation: str
    kind: str
    series: dict[str, float]

    @property
    def adds_up(self) -> bool:
        """Whether its values only grow, and those of several processes make a sum."""
        return self.kind in _ADDS_UP


Families = Mapping[str, Family]
"""By name, in the order in which they are shown."""


def parsed(text: str) -> Families:
    """What one process's exposition says.

    Raises:
        ValueError: it is none of ours.
    """
    found: dict[str, Family] = {}
    documentation, series = "", None
    for line in text.splitlines():
        if line.startswith(_HELP):
            documentation = line[len(_HELP) :].partition(" ")[2]
        elif line.startswith(_TYPE):
            name, _, kind = line[len(_TYPE) :].partition(" ")
            series = found.setdefault(name, Family(name, documentation, kind, {})).series
        elif line:
            key, _, value = line.rpartition(" ")
            if series is None or not key:
                raise ValueError(f"not a sample of a known metric: {line[:80]!r}")
            series[key] = float(value)
    return found


def merged(processes: Iterable[Families]) -> Families:
    """What all of them say together."""
    total: dict[str, Family] = {}
    for families in processes:
        for family in families.values():
            _merge(total, family)
    return total


def only_counters(families: Families) -> Families:
    """Without what holds for the moment alone."""
    return {name: family for name, family in families.items() if family.adds_up}


def exposed(families: Families) -> str:
    """The same as text."""
    lines: list[str] = []
    for family in families.values():
        if family.series:
            lines.append(f"{_HELP}{family.name} {family.documentation}")
            lines.append(f"{_TYPE}{family.name} {family.kind}")
            # prometheus_client leaves the function untyped.
            lines.extend(f"{key} {floatToGoString(value)}" for key, value in family.series.items())  # type: ignore[no-untyped-call]
    lines.append("")
    return "\n".join(lines)


def versions_in(families: Iterable[Family]) -> frozenset[tuple[str, str]]:
    """Model and version of all series that name a model; the version is "" where none is named, and for each model."""
    found: set[tuple[str, str]] = set()
    for family in families:
        for key in family.series:
            if (labels := _model_of(key)) is not None:
                found.update((labels, (labels[0], "")))
    return frozenset(found)


def without_models(family: Family, *, but: frozenset[tuple[str, str]]) -> Family:
    """The family less the series of models and versions that are not among `but`, as `versions_in` gives them."""
    series = {key: value for key, value in family.series.items() if (of := _model_of(key)) is None or of in but}
    return dataclasses.replace(family, series=series)


def _model_of(key: str) -> tuple[str, str] | None:
    if (model := _MODEL.search(key)) is None:
        return None
    version = _VERSION.search(key)
    return model[1], "" if version is None else version[1]


def _merge(total: dict[str, Family], family: Family) -> None:
    if (known := total.get(family.name)) is None:
        total[family.name] = dataclasses.replace(family, series=family.series.copy())
        return
    rule = Rule.SUM if family.adds_up else GAUGE_RULES.get(family.name, Rule.MOST)
    series = known.series
    for key, value in family.series.items():
        before = series.get(key)
        series[key] = value if before is None else _both(rule, before, value)


def _both(rule: Rule, one: float, other: float) -> float:
    if rule is Rule.SUM or math.isnan(one) or math.isnan(other):
        return one + other  # what is not known of one is not known of both
    return min(one, other) if rule is Rule.LEAST else max(one, other)
