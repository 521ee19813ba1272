"""Takes in what somebody outside has measured of the versions of a rollout: a business, or whoever knows the truth."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from serinus.core.errors import InvalidInput, NotFound
from serinus.core.version import ModelVersion
from serinus.core.windows import MetricWindow
from serinus.rollout.ports import History
from serinus.rollout.rollout import Rollout
from serinus.rollout.selection import selected


class ReportIds(Protocol):
    """Remembers which reports were counted, for all servers; the registry does."""

    async def count_report(self, rollout: str, report_id: str) -> bool:
        """Whether the report is new, and the rollout has not ended."""
        ...


class MetricReports:
    """What was reported to this server, of rollouts that have not ended.

    A report is counted once at most. It is told from others before it is counted, so that one is lost, and none is
    counted twice, if this process dies between the two or before the counts are published.
    """

    def __init__(self, journal: History, ids: ReportIds) -> None:
        self._journal = journal
        self._ids = ids
        self._sums: dict[str, dict[str, dict[int, MetricWindow]]] = {}

    def __repr__(self) -> str:
        return f"<MetricReports [{len(self._sums)} rollouts]>"

    async def report(self, model: str, version: str, metric: str, values: Sequence[float], report_id: str = "") -> bool:
        """Count what was measured; False for a report that was counted before.

        Args:
            model: Whose version.
            version: Which answered, as its answers say.
            metric: Name of a guardrail.
            values: Each within the guardrail's range.
            report_id: Tells a report that is sent again from a new one; "" counts each time.

        Raises:
            NotFound: the model has no rollout that has not ended, or the version takes no part in it.
            InvalidInput: no guardrail is called so, or a value is out of its range.
        """
        found = await self._journal.recent(model, 1)
        if not found or found[0].rollout.has_ended:
            raise NotFound(f"model {model} has no rollout now", reason="UNKNOWN_ROLLOUT", field="model")
        rollout = found[0].rollout
        number = checked(rollout, version, metric, values).number
        if report_id and not await self._ids.count_report(rollout.id, report_id):
            return False
        of_metric = self._sums.setdefault(rollout.id, {}).setdefault(metric, {})
        known = of_metric.get(number, MetricWindow())
        of_metric[number] = MetricWindow(known.count + len(values), known.total + math.fsum(values))
        return True

    def sums(self, rollout: str) -> Mapping[str, Mapping[int, MetricWindow]]:
        """What was reported since the rollout began, by metric and number of the version."""
        return {name: dict(of_metric) for name, of_metric in self._sums.get(rollout, {}).items()}

    def forget(self, rollout: str) -> None:
        """Nobody asks for the sums of that rollout any more: it has ended."""
        self._sums.pop(rollout, None)


def checked(rollout: Rollout, version: str, metric: str, values: Sequence[float]) -> ModelVersion:
    """The version that `values` are about.

    Raises:
        NotFound: it takes no part in the rollout.
        InvalidInput: no guardrail is called so, or a value is out of its range.
    """
    guardrails = {each.name: each for each in rollout.spec.guardrails.metrics}
    guardrail = guardrails.get(metric)
    if guardrail is None:
        known = f"expected one of {', '.join(guardrails)}" if guardrails else "the rollout has none"
        message = f"unknown metric {metric[:64]!r}: {known}"
        raise InvalidInput(message, reason="UNKNOWN_METRIC", field="metric")
    for value in values:
        # Written so that NaN is out of every range.
        if not guardrail.lowest <= value <= guardrail.highest:
            message = f"{metric}: expected values from {guardrail.lowest:g} to {guardrail.highest:g}, got {value:g}"
            raise InvalidInput(message, reason="OUT_OF_RANGE", field="values")
    return selected(rollout, version)
