"""A rollout as lines for a file or a pipe: one for each thing that happens, and now and then one for the counts."""

import datetime as dt
from collections.abc import Callable, Iterator

from rich.text import Text

from serinus.cli import units
from serinus.cli.output import cell
from serinus.cli.rollout.words import count_of, outcome_name, status_name, status_style
from serinus_api.v1 import admin_pb2 as pb

_COUNTS_EVERY_S = 10.0  # a log of an hour stays readable


class Lines:
    """Tells what is new since the last look.

    Args:
        address: The server's.
        clock: Seconds since 1970.
    """

    def __init__(self, address: str, *, clock: Callable[[], float]) -> None:
        self._address = address
        self._clock = clock
        self._news: tuple[object, ...] | None = None
        self._counted_at = float("-inf")

    def of(self, rollout: pb.Rollout | None) -> Iterator[Text]:
        """The lines for what was told; None for a server that does not answer."""
        now = self._clock()
        news = None if rollout is None else (rollout.status, rollout.stage, rollout.reason)
        if rollout is None:
            if self._news != ():
                yield _line(now, cell(f"{self._address} does not answer; still trying", "red"))
            self._news = ()
            return
        if news != self._news:
            self._news = news
            yield _line(now, *_where(rollout))
        if now - self._counted_at >= _COUNTS_EVERY_S and rollout.arms:
            self._counted_at = now
            yield _line(
                now, cell("  " + "; ".join((*(_counts(arm) for arm in rollout.arms), *_judged(rollout))), "dim")
            )


def _line(now: float, *parts: Text) -> Text:
    at = dt.datetime.fromtimestamp(int(now), dt.UTC).isoformat().replace("+00:00", "Z")
    return Text.assemble(cell(f"{at}  ", "dim"), *parts)


def _where(rollout: pb.Rollout) -> tuple[Text, Text]:
    status = cell(status_name(rollout.status), status_style(rollout.status))
    stage = f", {rollout.stages[rollout.stage]}" if rollout.stage < len(rollout.stages) else ""
    reason = f": {rollout.reason}" if rollout.reason else ""
    return status, cell(f"{stage}{reason}")


def _judged(rollout: pb.Rollout) -> Iterator[str]:
    if rollout.HasField("verdict"):
        waits = f", waits for {rollout.waits_for[0]}" if rollout.waits_for else ""
        yield outcome_name(rollout.verdict.outcome) + waits


def _counts(arm: pb.ArmStatus) -> str:
    return (
        f"{arm.version} {units.percent(arm.weight / 100)}: {arm.exposures:,} calls at {units.rate(arm.rate)}/s, "
        f"errors {count_of(arm.errors, arm.exposures)}, slow {count_of(arm.slow, arm.exposures)}, "
        f"invalid {count_of(arm.invalid, arm.exposures)}, p99 {units.seconds(arm.p99_s)}"
    )
