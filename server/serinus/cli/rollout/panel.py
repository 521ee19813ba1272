"""A rollout as one picture for a terminal: a pure function of what the server said and of the time."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from serinus.cli import units
from serinus.cli.output import cell
from serinus.cli.rollout.gauges import gauge, shade, shares_bar
from serinus.cli.rollout.minima import longest_s, minima, stage_seconds
from serinus.cli.rollout.tables import arms_table, checks_table, pairs_line, verdict_lines
from serinus.cli.rollout.words import ENDS, LOST, candidate_text, status_name, status_style
from serinus_api.v1 import admin_pb2 as pb

_WEIGHTS_WIDTH = 40
_MINIMUM_WIDTH = 12


def rollout_panel(rollout: pb.Rollout, now: float) -> RenderableType:
    """The plan, the weights, the versions side by side, and the judge's evidence.

    Args:
        rollout: As `GetRollout` and `WatchRollout` give it.
        now: Seconds since 1970.
    """
    return Group(*_parts(rollout, now))


def _parts(rollout: pb.Rollout, now: float) -> Iterator[RenderableType]:
    yield heading(rollout, now)
    if rollout.reason:
        yield _reason(rollout)
    yield ""
    yield plan_line(rollout)
    if rollout.status not in ENDS | LOST:
        yield _progress(rollout, now)
    if rollout.arms:
        yield ""
        yield _weights_line(rollout)
        yield arms_table(rollout)
    if rollout.pairs.pairs or rollout.pairs.dropped:
        yield pairs_line(rollout.pairs)
    if rollout.arms:
        yield cell(_totals(rollout), "dim")
    if rollout.HasField("verdict"):
        yield ""
        if rollout.verdict.checks:
            yield checks_table(rollout.verdict)
        yield from verdict_lines(rollout)


def heading(rollout: pb.Rollout, now: float) -> Text:
    """What becomes of which model, where it stands, and for how long."""
    ended_at = rollout.ended_at.ToNanoseconds() / 1e9 if rollout.HasField("ended_at") else now
    lasted_s = ended_at - rollout.started_at.ToNanoseconds() / 1e9
    word = status_name(rollout.status).upper().replace("_", " ")
    lasted = f"{'after' if rollout.status in ENDS else 'for'} {units.period(lasted_s)}"
    return Text.assemble(
        cell(f"{rollout.model} {rollout.baseline} → {candidate_text(rollout)}  ", "bold"),
        cell(word, f"bold {status_style(rollout.status)}"),
        cell(f"  {lasted}  rollout {rollout.id}", "dim"),
    )


def _reason(rollout: pb.Rollout) -> Text:
    text = cell(rollout.reason, status_style(rollout.status))
    if rollout.status == pb.ROLLOUT_STATUS_RUNNING:
        # Why the stage before has passed matters less than how this one does; the journal has all of it.
        text.no_wrap, text.overflow = True, "ellipsis"
    return text


def plan_line(rollout: pb.Rollout) -> Text:
    """The stages, with the one that it is in marked."""
    return Text(" → ").join(_stage(rollout, place, text) for place, text in enumerate(rollout.stages))


def _stage(rollout: pb.Rollout, place: int, text: str) -> Text:
    if place < rollout.stage or (rollout.status == pb.ROLLOUT_STATUS_SUCCEEDED and place == rollout.stage):
        return cell(f"✓ {text}", "green")
    if place > rollout.stage:
        return cell(text, "dim")
    return cell(f"✗ {text}", "red") if rollout.status in LOST else cell(f"▶ {text}", "bold")


def _progress(rollout: pb.Rollout, now: float) -> Text:
    if rollout.status == pb.ROLLOUT_STATUS_PREPARING:
        return cell("It begins once every server has loaded the candidate", "dim")
    text = Text()
    for minimum in minima(rollout, now):
        style = "green" if minimum.share >= 1 else "cyan"
        text += gauge(minimum.share, _MINIMUM_WIDTH, style) + cell(f" {minimum.text}  ")
    if stage_seconds(rollout, now) is None:
        return text + cell("the clock stands still", "yellow")
    longest = longest_s(rollout)
    return text + cell(f"at most {units.period(longest)}", "dim") if longest is not None else text


def _weights_line(rollout: pb.Rollout) -> Text:
    line = shares_bar([arm.weight for arm in rollout.arms], _WEIGHTS_WIDTH)
    for place, arm in enumerate(rollout.arms):
        line += cell("  ") + shade(place) + cell(f" {arm.version} {units.percent(arm.weight / 100)}")
    return line


def _totals(rollout: pb.Rollout) -> str:
    answered = ", ".join(f"{arm.version} has got {arm.total_exposures:,}" for arm in rollout.arms)
    slow = f"; slow is what takes longer than {units.seconds(rollout.slow_s)}" if rollout.slow_s else ""
    return f"calls since the rollout began: {answered}{slow}"
