"""`serinus rollout simulate`: how a plan would end, and whom it would expose, if versions were what is assumed."""

import dataclasses
from typing import Annotated

import typer
from rich.console import Console

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.flags import pairs
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.progress import steps_progress
from serinus.cli.rollout.gauges import gauge
from serinus.cli.rollout.spec_files import SpecOption, read_spec
from serinus.config.rollout_spec import RolloutSpec
from serinus.rollout.machine.plan import stage_text
from serinus.rollout.simulation.values import MOST_RUNS, Assumed, Simulated

_BAR_WIDTH = 30
_OUTCOME_STYLES = {"succeeded": "green", "rolled_back": "red"}
_METAVAR = "SHARE"


def _rate(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, metavar=_METAVAR, min=0, max=1, help=text)
    return option


Metrics = Annotated[
    list[str], typer.Option(metavar="NAME=MEAN", help="Mean of a metric of the guardrails; repeatable.")
]


def simulate(
    *,
    file: SpecOption = None,
    rate: Annotated[
        float, typer.Option("--rate", metavar="CALLS", min=0.001, max=1e6, help="Calls of the model a second.")
    ] = 50.0,
    baseline_errors: Annotated[float, _rate("--baseline-errors", "Calls that stable fails.")] = 0.001,
    baseline_slow: Annotated[float, _rate("--baseline-slow", "Slower than stable's p99, by definition 0.01.")] = 0.01,
    baseline_invalid: Annotated[float, _rate("--baseline-invalid", "Stable's answers that are nonsense.")] = 0.0,
    baseline_metric: Metrics = [],  # noqa: B006 - typer reads it and never changes it
    candidate_errors: Annotated[
        float | None, _rate("--candidate-errors", "Calls that the candidate fails (default: as stable).")
    ] = None,
    candidate_slow: Annotated[
        float | None, _rate("--candidate-slow", "Slower than stable's p99 (default: as stable).")
    ] = None,
    candidate_invalid: Annotated[
        float | None, _rate("--candidate-invalid", "Its answers that are nonsense (default: as stable).")
    ] = None,
    candidate_disagreements: Annotated[
        float, _rate("--candidate-disagreements", "Mirrored calls that it answers differently.")
    ] = 0.0,
    candidate_metric: Metrics = [],  # noqa: B006 - the same
    runs: Annotated[int, typer.Option("--runs", metavar="N", min=1, max=MOST_RUNS, help="How often.")] = 200,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="The same one plays the same runs.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Play a plan many times against assumed versions, with the judge that decides in earnest; needs no server."""
    spec = read_spec(file, missing={"model": "simulated", "candidate": "candidate"})  # whatever they are called
    baseline = Assumed(
        error_rate=baseline_errors,
        slow_rate=baseline_slow,
        invalid_rate=baseline_invalid,
        metric_means=metric_means("--baseline-metric", baseline_metric, spec),
    )
    candidate = Assumed(
        error_rate=baseline_errors if candidate_errors is None else candidate_errors,
        slow_rate=baseline_slow if candidate_slow is None else candidate_slow,
        invalid_rate=baseline_invalid if candidate_invalid is None else candidate_invalid,
        disagreement_rate=candidate_disagreements,
        metric_means={**baseline.metric_means, **metric_means("--candidate-metric", candidate_metric, spec)},
    )
    found = _played(spec, baseline, candidate, rate=rate, runs=runs, seed=seed)
    if as_json:
        assumed = {"baseline": dataclasses.asdict(baseline), "candidate": dataclasses.asdict(candidate)}
        print_json({"rate": rate, "seed": seed, **assumed, **simulated_document(found)})
        return
    out = console()
    out.print(cell(" → ".join(stage_text(stage) for stage in spec.stages), "bold"))
    out.print(cell(f"{runs:,} runs at {units.rate(rate)} calls/s, seed {seed}", "dim"))
    show(found, out)


def _played(
    spec: RolloutSpec, baseline: Assumed, candidate: Assumed, *, rate: float, runs: int, seed: int
) -> Simulated:
    # It loads scipy, which no other command needs.
    from serinus.rollout.simulation import simulation  # noqa: PLC0415 - see the line above

    with steps_progress() as progress:
        task = progress.add_task("Playing the plan", total=runs)
        return simulation.simulate(
            spec,
            baseline,
            candidate,
            rate=rate,
            runs=runs,
            seed=seed,
            progress=lambda done: progress.update(task, completed=done),
        )


def metric_means(flag: str, texts: list[str], spec: RolloutSpec) -> dict[str, float]:
    """Each NAME=MEAN.

    Raises:
        CommandFailed: one is none, or no metric of the plan.
    """
    known = [metric.name for metric in spec.guardrails.metrics]
    means = {}
    for name, text in pairs(flag, texts).items():
        if name not in known:
            listed = ", ".join(known) or "no metrics"
            raise CommandFailed(f"{flag}: the plan has {listed}, got {name[:64]!r}", code=ExitCode.USAGE)
        try:
            means[name] = float(text)
        except ValueError as error:
            raise CommandFailed(f"{flag} {name}: expected a number, got {text[:64]!r}", code=ExitCode.USAGE) from error
    return means


def simulated_document(found: Simulated) -> dict[str, object]:
    """What became of the runs, as JSON."""
    return {
        "runs": found.runs,
        "outcomes": {
            outcome: {"share": share, "low": low, "high": high}
            for outcome, (share, low, high) in found.outcomes.items()
        },
        "exposed": {"p50": found.exposed_p50, "p90": found.exposed_p90},
        "seconds": {"p50": found.seconds_p50, "p90": found.seconds_p90},
        "failed_by": dict(found.failed_by),
    }


def show(found: Simulated, out: Console) -> None:
    """Print it for people."""
    out.print()
    table = plain_table("OUTCOME", "PROBABILITY", "95 % INTERVAL", "", right=("PROBABILITY", "95 % INTERVAL"))
    for outcome, (share, low, high) in found.outcomes.items():
        style = _OUTCOME_STYLES.get(outcome, "yellow")
        table.add_row(
            cell(outcome.replace("_", " "), style),
            units.percent(share),
            f"{units.percent(low)} to {units.percent(high)}",
            gauge(share, _BAR_WIDTH, style),
        )
    out.print(table)
    out.print()
    table = plain_table("", "HALF OF THE RUNS", "NINE OF TEN", right=("HALF OF THE RUNS", "NINE OF TEN"))
    table.add_row("calls exposed, at most", f"{found.exposed_p50:,}", f"{found.exposed_p90:,}")
    table.add_row("time, at most", units.period(found.seconds_p50), units.period(found.seconds_p90))
    out.print(table)
    if found.failed_by:
        out.print()
        table = plain_table("FAILED BY", "OF THE FAILURES", "", right=("OF THE FAILURES",))
        for name, share in found.failed_by.items():
            table.add_row(cell(name), units.percent(share), gauge(share, _BAR_WIDTH, "red"))
        out.print(table)
