"""`serinus models download`: the files of a version."""

from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from serinus.cli import units
from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import size_bytes
from serinus.cli.models.flags import ChosenArgument
from serinus.cli.output import CommandFailed, cell, console, print_json
from serinus.cli.progress import bytes_progress
from serinus.cli.target import Server, connected, server_command
from serinus.core.artifact import check_artifact_path
from serinus.core.errors import InvalidInput
from serinus_api.v1 import registry_pb2 as pb


@server_command
def download(
    *,
    chosen: ChosenArgument,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="PATH", help="A folder; a file's name for a version of one file (default: NAME-VERSION)."
        ),
    ] = None,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Fetch the files of a version; what an interrupted download has fetched is not fetched again."""
    with connected(server) as client, bytes_progress() as progress:
        version = client.registry.version(chosen.model, chosen.selector)
        places = _places(version, to or Path(f"{version.model}-{version.version}"))
        fetching = progress.add_task(f"Fetching {version.model}@{version.version}", total=size_bytes(version))
        done_bytes = 0
        for path, place in places.items():
            before_bytes = done_bytes

            def show(now_bytes: int, total_bytes: int, before_bytes: int = before_bytes) -> None:
                nonlocal done_bytes
                done_bytes = before_bytes + total_bytes
                progress.update(fetching, completed=before_bytes + now_bytes)

            _make_folder(place.parent)
            try:
                client.registry.download(version.model, version.version, path, place, on_progress=show)
            except OSError as error:
                if error.errno is None:  # not the disk's: the SDK's time-outs and lost connections are OSErrors too
                    raise
                raise _unwritable(place, error) from error
    if as_json:
        print_json(
            {
                "model": version.model,
                "version": version.version,
                "files": {file: str(place) for file, place in places.items()},
            }
        )
        return
    for file in version.files:
        console().print(cell(f"{places[file.path]}  {units.size(file.size_bytes)}"), soft_wrap=True)


def _places(version: pb.ModelVersion, to: Path) -> dict[str, Path]:
    """Where each file goes; the server's paths are not trusted to stay below `to`."""
    if len(version.files) == 1 and to.suffix and not to.is_dir():
        name = PurePosixPath(version.files[0].path).suffix
        if to.suffix == name:
            return {version.files[0].path: to}
    try:
        return {file.path: to / check_artifact_path(file.path) for file in version.files}
    except InvalidInput as error:
        raise CommandFailed(f"the server names a file that cannot be written: {error.message}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(place: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"cannot write {str(place)!r}: {error.strerror}")
