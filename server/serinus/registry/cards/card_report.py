"""Shows what a quantizer measured, from the JSON that is kept with the version."""

from collections.abc import Mapping

from serinus.registry.cards.markdown import inline, number, size, table

_TITLES = (
    "Recipe", "Size", "Batch 1", "Best batch", "Rows/s", "Same argmax", "Least cosine", "Largest difference", "Verdict",
)  # fmt: skip


def quantization(report: Mapping[str, object]) -> str:
    """The verdict and a row for each recipe; "" without a report. What the report lacks is left empty."""
    if not report:
        return ""
    results = report.get("results")
    rows = (
        [_row(result) for result in results if isinstance(result, Mapping)] if isinstance(results, list | tuple) else []
    )
    winner, sentence = report.get("winner"), report.get("sentence")
    parts = [
        inline(str(sentence)) if sentence else "",
        f"Winner: {inline(str(winner))}." if winner else "",
        table(_TITLES, rows),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(result: Mapping[str, object]) -> tuple[str, ...]:
    best, best_s = _number(result, "best_batch"), _number(result, "best_batch_s")
    batch_1_s, size_bytes = _number(result, "batch_1_s"), _number(result, "size_bytes")
    if not best and not size_bytes:  # the recipe gave no model: there is nothing to compare
        return (str(result.get("recipe", "")), *[""] * 7, str(result.get("reason") or "no model"))
    return (
        str(result.get("recipe", "")),
        "" if size_bytes is None else size(size_bytes),
        "" if not batch_1_s else f"{number(batch_1_s * 1e3)} ms",
        "" if not best else number(best),
        "" if not best or not best_s else number(round(best / best_s)),
        _share(_number(result, "argmax_agreement")),
        _text(_number(result, "min_cosine")),
        _text(_number(result, "max_absolute_difference")),
        "accepted" if result.get("accepted") else str(result.get("reason") or "refused"),
    )


def _number(result: Mapping[str, object], name: str) -> float | None:
    value = result.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: float | None) -> str:
    return "" if value is None else number(value)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"
