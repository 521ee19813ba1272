"""What the demo shows once it is over."""

import collections
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from serinus.cli import units
from serinus.cli.demo.bars import bar, latency_bars
from serinus.cli.models import quantize_report
from serinus.cli.models.documents import version_document
from serinus.cli.output import cell, plain_table
from serinus.cli.rollout.documents import event_document, rollout_document
from serinus.cli.rollout.explain import explanation, exposed
from serinus_api.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from serinus.cli.demo.rollouts import Story
    from serinus.cli.demo.run import Classified, Outcome

_MOST_KINDS_SHOWN = 30
_BAR_WIDTH = 40
_LONGEST_DESCRIPTION = 24
_BESIDE_PATHS = 56  # what the other columns take at most
_SHORTEST_PATH = 24
_MOST_PARTS = 3  # "/", a folder and a name


@dataclasses.dataclass(frozen=True)
class Kind:
    """The files of one kind.

    Attributes:
        label: The model's word.
        count: Files.
        mean_score: How sure the model was, 0 to 1.
        example: The file that it was surest of.
    """

    label: str
    count: int
    mean_score: float
    example: Path


def kinds(answers: "Sequence[Classified]") -> list[Kind]:
    """The answers by kind, the most frequent first."""
    groups: dict[str, list[Classified]] = {}
    for answer in answers:
        groups.setdefault(answer.kind, []).append(answer)
    found = [
        Kind(
            label=label,
            count=len(group),
            mean_score=sum(answer.score for answer in group) / len(group),
            example=min(group, key=lambda answer: (-answer.score, str(answer.file))).file,
        )
        for label, group in groups.items()
    ]
    return sorted(found, key=lambda kind: (-kind.count, kind.label))


def batch_sizes(answers: "Sequence[Classified]") -> dict[int, int]:
    """Runs by the number of files in them: each of the n files of a run says n."""
    files = collections.Counter(answer.batch_rows for answer in answers)
    return {rows: max(1, round(count / rows)) for rows, count in sorted(files.items())}


def document(outcome: "Outcome") -> dict[str, object]:
    """The outcome as JSON."""
    latency = outcome.status.latency["request"]
    return {
        "registered": version_document(outcome.registered),
        "quantization": quantize_report.document(outcome.report),
        "answered_by": outcome.status.version,
        "files": len(outcome.answers),
        "elapsed_s": outcome.elapsed_s,
        "files_per_s": len(outcome.answers) / outcome.elapsed_s,
        "runs": outcome.status.batches,
        "batch_sizes": {str(rows): runs for rows, runs in batch_sizes(outcome.answers).items()},
        "latency_s": {"p50": latency.p50_s, "p90": latency.p90_s, "p99": latency.p99_s},
        "latency_bounds_s": list(latency.bucket_bounds_s),
        "latency_counts": list(latency.bucket_counts),
        "rollouts": [_story_document(story) for story in outcome.stories],
        "kinds": [dataclasses.asdict(kind) | {"example": str(kind.example)} for kind in kinds(outcome.answers)],
    }


def show_registered(outcome: "Outcome", out: Console) -> None:
    """Print what was registered, what quantizing it has shown, and who answers."""
    version = outcome.registered
    out.print(
        cell(f"registered {version.model}@{version.version}: {version.files[0].size_bytes} bytes, ", "bold")
        + cell(f"sha256 {version.files[0].sha256}", "dim"),
        soft_wrap=True,
    )
    out.print()
    quantize_report.show(outcome.report, out)
    out.print(cell(f"{outcome.status.model}@{outcome.status.version} answers", "bold"))


def show(outcome: "Outcome", descriptions: dict[str, str], out: Console) -> None:
    """Print the outcome for people."""
    found = kinds(outcome.answers)
    out.print(_kinds_table(found, descriptions, max(_SHORTEST_PATH, out.width - _BESIDE_PATHS)))
    if len(found) > _MOST_KINDS_SHOWN:
        out.print(cell(f"... and {len(found) - _MOST_KINDS_SHOWN} kinds more", "dim"))
    out.print()
    out.print(_latency_table(outcome.status))
    out.print()
    out.print(_batches_table(outcome))
    out.print()
    out.print(cell(_summary(outcome, len(found)), "bold"), soft_wrap=True)


def show_story(story: "Story", out: Console) -> None:
    """Print how a rollout went, with the evidence, and what callers noticed of it."""
    out.rule(cell(story.title, "bold"))
    for part in explanation(story.rollout, story.events, time.time()):
        out.print(part)
    out.print(cell(_noticed(story), "bold"), soft_wrap=True)


def _noticed(story: "Story") -> str:
    tally = story.tally
    by_version = ", ".join(f"{count} by {version}" for version, count in sorted(tally.answered.items()))
    return (
        f"callers got {sum(tally.answered.values())} answers ({by_version}) and {tally.failed} errors; "
        f"{tally.rescued} calls that a version could not answer were answered by another one"
    )


def _story_document(story: "Story") -> dict[str, object]:
    return {
        "title": story.title,
        "rollout": rollout_document(story.rollout),
        "exposed": exposed(story.rollout),
        "journal": [event_document(event) for event in story.events],
        "answered": dict(story.tally.answered),
        "rescued": story.tally.rescued,
        "failed": story.tally.failed,
    }


def shortened(file: Path, longest: int) -> str:
    """The end of a path in at most `longest` characters: the name with its folder if they fit."""
    text = "/".join(("…", *file.parts[-2:])) if len(file.parts) > _MOST_PARTS else str(file)
    return text if len(text) <= longest else "…" + text[1 - longest :]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _kinds_table(found: Sequence[Kind], descriptions: dict[str, str], longest_path: int) -> Table:
    table = plain_table("FILES", "KIND", "", "SCORE", "EXAMPLE", right=("FILES", "SCORE"))
    for kind in found[:_MOST_KINDS_SHOWN]:
        table.add_row(
            cell(kind.count),
            cell(kind.label, "cyan"),
            cell(_cut(descriptions.get(kind.label, ""), _LONGEST_DESCRIPTION)),
            f"{kind.mean_score:.2f}",
            cell(shortened(kind.example, longest_path), "dim"),
        )
    for column in table.columns:
        column.no_wrap = True
    return table


def _latency_table(status: pb.ModelStatus) -> Table:
    latency = status.latency["request"]
    table = plain_table(
        "LATENCY", "CALLS", "", right=("LATENCY", "CALLS"), title="From arrival to answer, by the server"
    )
    for line in latency_bars(latency.bucket_bounds_s, latency.bucket_counts, width=_BAR_WIDTH):
        table.add_row(line.label, cell(line.count), cell(line.bar, "green"))
    return table


def _batches_table(outcome: "Outcome") -> Table:
    sizes = batch_sizes(outcome.answers)
    most = max(sizes.values())
    table = plain_table("FILES", "RUNS", "", right=("FILES", "RUNS"), title="Files in one run of the model")
    for rows, runs in sizes.items():
        table.add_row(cell(rows), cell(runs), cell(bar(runs, most, _BAR_WIDTH), "blue"))
    return table


def _summary(outcome: "Outcome", kinds_found: int) -> str:
    files = len(outcome.answers)
    latency = outcome.status.latency["request"]
    return (
        f"{files} files, {kinds_found} kinds, {units.seconds(outcome.elapsed_s)}: "
        f"{units.rate(files / outcome.elapsed_s)} files/s over gRPC in {outcome.status.batches} runs, "
        f"p50 {units.seconds(latency.p50_s)}, p90 {units.seconds(latency.p90_s)}, p99 {units.seconds(latency.p99_s)}"
    )
