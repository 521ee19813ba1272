"""What was measured, for a person and for a program."""

import dataclasses
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

_PACKAGES = ("grpcio", "protobuf", "onnxruntime", "numpy", "uvloop")


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        aim: Number of the aim that it answers for.
        what: What was measured.
        figure: What came out, with its unit.
        aimed_at: What it should be, or "".
    """

    aim: int
    what: str
    figure: str
    aimed_at: str = ""


def machine() -> dict[str, str]:
    """What the figures were taken on."""
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
    }


def show(rows: Sequence[Row], facts: dict[str, str]) -> None:
    """Print a table."""
    console = Console()
    table = Table("aim", "what", "measured", "aimed at")
    for row in rows:
        table.add_row(str(row.aim), row.what, row.figure, row.aimed_at)
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in facts.items()))


def save(rows: Sequence[Row], facts: dict[str, str], path: Path) -> None:
    """Write the figures, the machine and the command as JSON."""
    path.parent.mkdir(exist_ok=True)
    content = {
        "command": " ".join(["python", *sys.argv]),
        "machine": facts,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
