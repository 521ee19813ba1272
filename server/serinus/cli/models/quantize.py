"""`serinus models quantize`: a smaller, faster version, if there is one that answers the same."""

import dataclasses
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import Progress

from serinus.cli.json_option import JsonOption
from serinus.cli.models import quantize_report
from serinus.cli.models.flags import ActorOption, ChosenArgument
from serinus.cli.output import CommandFailed, ExitCode, console, print_json
from serinus.cli.progress import steps_progress
from serinus.cli.target import Server, connected, server_command
from serinus.cli.tensor_files import Array
from serinus.telemetry.log_fields import visible
from serinus_api.v1 import registry_pb2 as pb
from serinus_client import Client

CalibrationFlag = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE.npz", help="Inputs to compare with: one array for each, by name."),
]
RowsFlag = Annotated[
    int, typer.Option("--traffic-rows", metavar="N", min=0, help="Collect them from the calls that come in.")
]


@server_command
def quantize(
    *,
    chosen: ChosenArgument,
    calibration: CalibrationFlag = None,
    traffic_rows: RowsFlag = 0,
    traffic_timeout_s: Annotated[
        float, typer.Option("--traffic-timeout", metavar="S", min=0, help="Longest time to collect.")
    ] = 60.0,
    recipes: Annotated[
        str, typer.Option("--recipes", metavar="A,B", help="Which to try (default: all that apply).")
    ] = "",
    min_argmax_agreement: Annotated[
        float | None,
        typer.Option(
            "--min-argmax-agreement", min=0, max=1, help="Share of rows with the same answer (default: 0.99)."
        ),
    ] = None,
    min_cosine: Annotated[
        float | None, typer.Option("--min-cosine", min=-1, max=1, help="Of all outputs (default: 0.99).")
    ] = None,
    max_absolute_difference: Annotated[
        float | None, typer.Option("--max-absolute-difference", min=0, help="Of any output (default: any).")
    ] = None,
    min_speedup: Annotated[
        float | None, typer.Option("--min-speedup", min=0, help="At the best batch (default: 1.0).")
    ] = None,
    max_size_ratio: Annotated[
        float | None,
        typer.Option("--max-size-ratio", min=0, max=1, help="Be content with a file that is this much smaller."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure only.")] = False,
    actor: ActorOption = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Try recipes of quantization on the server's machine, and register the best one within the bounds."""
    if calibration is not None and traffic_rows:
        raise CommandFailed("--calibration and --traffic-rows: expected at most one", code=ExitCode.USAGE)
    request = _Request(
        calibration=None if calibration is None else read_arrays(calibration),
        traffic_rows=traffic_rows,
        traffic_timeout_s=traffic_timeout_s if traffic_rows else 0.0,
        recipes=tuple(name for name in recipes.split(",") if name),
        bounds=pb.QuantizationBounds(
            min_argmax_agreement=min_argmax_agreement,
            min_cosine=min_cosine,
            max_absolute_difference=max_absolute_difference,
            min_speedup=min_speedup,
            max_size_ratio=max_size_ratio,
        ),
        dry_run=dry_run,
        actor=actor,
    )
    with connected(server) as client, steps_progress() as progress:
        report = request.run(client, chosen.model, chosen.selector, progress)
    if as_json:
        print_json(quantize_report.document(report))
    else:
        quantize_report.show(report, console())


@dataclasses.dataclass(frozen=True)
class _Request:
    """What is asked for; the arguments of `Registry.quantize`."""

    calibration: dict[str, Array] | None
    traffic_rows: int
    traffic_timeout_s: float
    recipes: tuple[str, ...]
    bounds: pb.QuantizationBounds
    dry_run: bool
    actor: str

    def run(self, client: Client, model: str, selector: str, progress: Progress) -> pb.QuantizationReport:
        """Follow the server's progress to its report.

        Raises:
            CommandFailed: there was none.
        """
        task = progress.add_task(f"Quantizing {model}", total=None)
        steps = client.registry.quantize(
            model,
            selector,
            calibration=self.calibration,
            traffic_rows=self.traffic_rows,
            traffic_timeout_s=self.traffic_timeout_s,
            recipes=self.recipes,
            bounds=self.bounds,
            dry_run=self.dry_run,
            actor=self.actor,
        )
        report: pb.QuantizationReport | None = None
        for step in steps:
            progress.update(
                task, completed=step.done, total=step.total or None, description=visible(step.stage) or "Working"
            )
            if step.HasField("report"):
                report = step.report
        if report is None:
            raise CommandFailed("the server ended the quantization without a report")
        return report


def read_arrays(file: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name.

    Raises:
        CommandFailed: it cannot be read, or holds Python objects.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise CommandFailed(
            f"--calibration: cannot read {str(file)!r}: {error.strerror or error}", code=ExitCode.USAGE
        ) from error
    except (ValueError, TypeError, zipfile.BadZipFile) as error:
        raise CommandFailed(
            f"--calibration: {str(file)!r} is no .npz file of plain arrays", code=ExitCode.USAGE
        ) from error
