"""Tables of what a server says of a rollout: its versions side by side, and what its judge rests on."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from serinus.cli import units
from serinus.cli.output import cell, plain_table
from serinus.cli.rollout.gauges import evidence_share, gauge, shade
from serinus.cli.rollout.words import count_of, odds, outcome_name, outcome_style
from serinus_api.v1 import admin_pb2 as pb

_EVIDENCE_WIDTH = 20
_MOST_WAITS = 8  # an A/B test of many arms waits for dozens of things; the first ones are enough to see
_NUMBERS = ("RATE", "CALLS", "ERRORS", "SLOW", "INVALID", "P50", "P99")
_CHECK_NUMBERS = ("ODDS", "LIMIT", "BOUND", "MUST BE", "N")
_SHARES = frozenset({"ERRORS", "SLOW", "INVALID"})


def arms_table(rollout: pb.Rollout) -> Table:
    """All versions side by side, the baseline first, as they did in the stage."""
    metrics = sorted({name for arm in rollout.arms for name in arm.metric_counts})
    headings = [name.upper() for name in metrics]
    table = plain_table("", "VERSION", *_NUMBERS, *headings, right=(*_NUMBERS, *headings))
    for column in table.columns:
        # Where a terminal is too narrow, these are the cells that wrap.
        column.no_wrap = column.header not in _SHARES
    for place, arm in enumerate(rollout.arms):
        table.add_row(
            shade(place),
            cell(arm.version, "bold"),
            units.rate(arm.rate),
            f"{arm.exposures:,}",
            cell(count_of(arm.errors, arm.exposures), "red" if arm.errors and place else ""),
            cell(count_of(arm.slow, arm.exposures)),
            cell(count_of(arm.invalid, arm.exposures), "red" if arm.invalid and place else ""),
            units.seconds(arm.p50_s),
            units.seconds(arm.p99_s),
            *(cell(_metric(arm, name)) for name in metrics),
        )
    return table


def _metric(arm: pb.ArmStatus, name: str) -> str:
    count = arm.metric_counts.get(name, 0)
    return f"{arm.metric_means.get(name, 0.0):.4g} ({count:,})" if count else "-"


def checks_table(verdict: pb.RolloutVerdict) -> Table:
    """One line for each guardrail: the odds against the candidate, and the bound that must be small for it to pass."""
    names_versions = len({check.version for check in verdict.checks}) > 1
    table = plain_table("CHECK", "EVIDENCE", *_CHECK_NUMBERS, "", right=_CHECK_NUMBERS)
    table.columns[1].no_wrap = True
    for check in verdict.checks:
        style = outcome_style(check.outcome)
        table.add_row(
            cell(f"{check.name} {check.version}" if names_versions else check.name),
            gauge(evidence_share(check.e_value, check.limit), _EVIDENCE_WIDTH, style),
            odds(check.e_value),
            odds(check.limit),
            f"{check.bound:.3g}" if check.HasField("bound") else "-",
            f"≤ {check.bound_limit:.3g}" if check.HasField("bound_limit") else "-",
            f"{check.count:,}",
            cell(outcome_name(check.outcome), style),
        )
    return table


def verdict_lines(rollout: pb.Rollout) -> Iterator[Text]:
    """The verdict with its reason; where it waits for something, that is the reason, a line for each thing."""
    verdict = rollout.verdict
    word = cell(outcome_name(verdict.outcome).upper(), f"bold {outcome_style(verdict.outcome)}")
    winner = f"; {verdict.winner} is better than all others" if verdict.winner else ""
    reason = "it waits for" if rollout.waits_for else verdict.reason
    yield Text.assemble(word, cell(f"  {reason}{winner}"))
    for sentence in rollout.waits_for[:_MOST_WAITS]:
        yield cell(f"  · {sentence}", "yellow")
    if len(rollout.waits_for) > _MOST_WAITS:
        yield cell(f"  · and {len(rollout.waits_for) - _MOST_WAITS} things more", "yellow")


def pairs_line(pairs: pb.PairStatus) -> Text:
    """What became of mirrored calls."""
    return cell(
        f"mirrored: {pairs.pairs:,} pairs, {count_of(pairs.disagreements, pairs.pairs)} answered differently, "
        f"{count_of(pairs.errors, pairs.pairs)} failed by the candidate, {pairs.dropped:,} dropped for lack of room"
    )
