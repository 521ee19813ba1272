"""How a quantization went, as a table and as JSON."""

from rich.console import Console

from serinus.cli import units
from serinus.cli.models.documents import version_document
from serinus.cli.output import cell, plain_table
from serinus_api.v1 import registry_pb2 as pb

_FLOAT = "float"
_RIGHT = ("SIZE", "BATCH 1", "BEST BATCH", "ROWS/S", "AGREE", "COSINE", "MAX DIFF")


def show(report: pb.QuantizationReport, out: Console) -> None:
    """The table of recipes, and the verdict."""
    table = plain_table("RECIPE", *_RIGHT, "VERDICT", right=_RIGHT)
    for result in report.results:
        is_winner = bool(report.winner) and result.recipe == report.winner
        style = "green" if is_winner else "" if result.accepted or result.recipe == _FLOAT else "dim"
        # A recipe that failed has no numbers.
        measured = result.best_batch > 0
        compared = measured and result.recipe != _FLOAT
        table.add_row(
            cell(result.recipe, style),
            cell(units.size(result.size_bytes) if result.size_bytes else "-", style),
            cell(units.seconds(result.batch_1_s), style),
            cell(result.best_batch if measured else "-", style),
            cell(units.rate(rows_per_s(result)), style),
            cell(f"{result.argmax_agreement:.2%}" if compared else "-", style),
            cell(f"{result.min_cosine:.4f}" if compared else "-", style),
            cell(f"{result.max_absolute_difference:.2g}" if compared else "-", style),
            cell(_verdict(result, is_winner=is_winner), style),
        )
    out.print(table)
    # Below and not in the table: sentences leave no room for numbers.
    for result in report.results:
        if result.reason and result.recipe != report.winner:
            out.print(cell(f"{result.recipe}: {result.reason}", "dim"), soft_wrap=True)
    out.print(cell(report.sentence, "green" if report.winner else "yellow"), soft_wrap=True)
    if report.HasField("version"):
        out.print(cell(f"registered as {report.version.model}@{report.version.version}", "green"))


def rows_per_s(result: pb.RecipeResult) -> float | None:
    """At the best batch; None if it was not measured."""
    return result.best_batch / result.best_batch_s if result.best_batch_s > 0 else None


def _verdict(result: pb.RecipeResult, *, is_winner: bool) -> str:
    if result.recipe == _FLOAT:
        return "as it is"
    if is_winner:
        return "the best"
    if result.accepted:
        return "within the bounds"
    return "refused" if result.best_batch else "no model"


def document(report: pb.QuantizationReport) -> dict[str, object]:
    """The report as JSON."""
    return {
        "winner": report.winner,
        "sentence": report.sentence,
        "registered": version_document(report.version) if report.HasField("version") else None,
        "results": [
            {
                "recipe": result.recipe,
                "size_bytes": result.size_bytes,
                "batch_1_s": result.batch_1_s,
                "best_batch": result.best_batch,
                "best_batch_s": result.best_batch_s,
                "rows_per_s": rows_per_s(result),
                "argmax_agreement": result.argmax_agreement,
                "min_cosine": result.min_cosine,
                "max_absolute_difference": result.max_absolute_difference,
                "accepted": result.accepted,
                "reason": result.reason,
            }
            for result in report.results
        ],
    }
