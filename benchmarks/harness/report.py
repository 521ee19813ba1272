"""What was measured, for a person, for a program and for a README."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.rows import Row, Verdict

_PACKAGES = ("grpcio", "protobuf", "onnxruntime", "numpy", "uvloop")
_ORDER = (Verdict.FAILED, Verdict.MISSED, Verdict.VOID, Verdict.MET, Verdict.NONE)
_STYLES = {
    Verdict.FAILED: "bold red",
    Verdict.MISSED: "bold red",
    Verdict.VOID: "bold yellow",
    Verdict.MET: "green",
    Verdict.NONE: "",
}
_ALARMING = frozenset({Verdict.FAILED, Verdict.MISSED, Verdict.VOID})
_WHY = "../README.md#why-aim-{aim}"
"""Where the README says, for each aim with a missed row, why it was missed and what was tried."""
_PLOTS = {
    3: {"batch_sizes.png": "Rows of the server's runs as the load climbs, for Silero and OCR recognition"},
    6: {
        "overload_goodput.png": "Goodput against offered load, and the ideal line",
        "overload_latency.png": "Latency percentiles against offered load",
    },
}
"""By aim: files that its scenarios draw beside the results."""
_WIDTH_OF_A_PIPE = 160
_HERE = Path(__file__).resolve().parent


def machine() -> dict[str, str]:
    """What the figures were taken on, and of which revision."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "load average before": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "revision": _revision(),
    }


def in_order(rows: Sequence[Row]) -> list[Row]:
    """What could not be measured, missed aims, void ones, those that are met, then what only stands beside them."""
    return sorted(rows, key=lambda row: (_ORDER.index(row.verdict), row.aim))


def show(rows: Sequence[Row], facts: dict[str, str]) -> None:
    """Print a table."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)
    table = Table("aim", "what", "measured", "aimed at", "")
    for row in in_order(rows):
        style = _STYLES[row.verdict]
        table.add_row(str(row.aim), Text(row.what), Text(row.figure), Text(row.aimed_at), Text(_said(row), style))
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()), markup=False)


def markdown(rows: Sequence[Row], facts: dict[str, str], folder: Path) -> str:
    """The same table for a README, each missed row with the way to its reasons; then the plots in `folder`."""
    lines = ["| aim | what | measured | aimed at | |", "|---|---|---|---|---|"]
    for row in in_order(rows):
        said = f"**{_said(row)}**" if row.verdict in _ALARMING else _said(row)
        if row.verdict is Verdict.MISSED:
            said += f", [why]({_WHY.format(aim=row.aim)})"
        cells = (str(row.aim), row.what, row.figure, row.aimed_at, said)
        lines.append("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |")
    lines += ["", f"`{_command()}`; " + ", ".join(f"{key} {value}" for key, value in facts.items()), ""]
    for aim in sorted({row.aim for row in rows}):
        for file, what in _PLOTS.get(aim, {}).items():
            if (folder / file).exists():
                lines += [f"![{what}]({file})", ""]
    return "\n".join(lines)


def save(rows: Sequence[Row], facts: dict[str, str], path: Path) -> None:
    """Write the figures, the machine and the command as JSON, and the table as Markdown beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": _command(),
        "machine": facts,
        "spread": "median of interleaved repeats, and the range that they cover",
        "rows": [{**dataclasses.asdict(row), "verdict": row.verdict.value} for row in in_order(rows)],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    path.with_suffix(".md").write_text(markdown(rows, facts, path.parent))


def _said(row: Row) -> str:
    return ": ".join(part for part in (row.verdict.value, row.why) if part)


def _command() -> str:
    return " ".join(["python", *sys.argv])


def _revision() -> str:
    try:
        command = ["git", "-C", str(_HERE), "describe", "--always", "--dirty"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
