"""`serinus models list`: what is registered, and what is served."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.models.documents import placement_word, state_word
from serinus.cli.models.flags import pairs
from serinus.cli.output import CommandFailed, ExitCode, cell, console, plain_table, print_json
from serinus.cli.states import state_name, state_style
from serinus.cli.target import Server, connected, server_command
from serinus_api.v1 import admin_pb2
from serinus_api.v1 import registry_pb2 as pb
from serinus_client import Client, SerinusError, Unsupported

_NOT_LOADED = "NOT_LOADED"
_BOUND = re.compile(r"([A-Za-z0-9][A-Za-z0-9._/-]*)\s*(>=|<=)\s*([-+0-9.eE]+)", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Row:
    """One version: registered, or known to the server, or both.

    Attributes:
        registered: As the registry has it, or None.
        served: As the server has it, or None.
    """

    registered: pb.ModelVersion | None
    served: admin_pb2.ModelStatus | None

    @property
    def key(self) -> tuple[str, int, str]:
        """What sorts rows: by name, newest number first."""
        one = self.registered or self.served
        assert one is not None
        return one.model, -one.version_number, one.version

    @property
    def state(self) -> str:
        """What the server does with it: READY and the like, NOT_LOADED if nothing."""
        return _NOT_LOADED if self.served is None else state_name(self.served.state)

    @property
    def is_put_away(self) -> bool:
        """Whether it is archived, and neither an alias nor the server has any use for it."""
        one = self.registered
        is_archived = one is not None and one.state == pb.VERSION_STATE_ARCHIVED and not one.aliases
        return is_archived and self.state in {_NOT_LOADED, "UNAVAILABLE"}

    @property
    def reason(self) -> str:
        """Why it is in that state, or ""."""
        return "" if self.served is None else self.served.reason


@server_command
def list_models(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Only this model's versions.")] = "",
    range_: Annotated[
        str, typer.Option("--range", metavar="RANGE", help='Versions within it, such as "^1.2"; needs NAME.')
    ] = "",
    tag: Annotated[
        list[str], typer.Option("--tag", metavar="NAME=TEXT", help="Versions with this tag; repeatable, needs NAME.")
    ] = [],  # noqa: B006 - typer reads it and never changes it
    framework: Annotated[
        str, typer.Option("--framework", metavar="TEXT", help="What their framework starts with; needs NAME.")
    ] = "",
    metric: Annotated[
        list[str],
        typer.Option(
            "--metric", metavar="BOUND", help="Such as 'accuracy>=0.9' or 'loss<=0.1'; repeatable, needs NAME."
        ),
    ] = [],  # noqa: B006 - the same
    archived: Annotated[bool, typer.Option("--archived", help="Archived versions as well.")] = False,
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """List the versions that are registered or served: their state, the names for them, and the calls they answered."""
    tags, bounds = pairs("--tag", tag), metric_bounds(metric)
    is_filtered = bool(range_ or tags or framework or bounds)
    if is_filtered and not name:
        raise CommandFailed("filters choose among the versions of one model: give its NAME", code=ExitCode.USAGE)
    trouble: SerinusError | None = None
    registered: list[pb.ModelVersion] = []
    with connected(server) as client:
        served = [each for each in client.admin.server_status().models if name in {"", each.model}]
        try:
            if is_filtered:
                found = client.registry.versions(
                    name, within=range_, tags=tags, framework=framework, metrics=bounds, include_archived=archived
                )
                registered.extend(found)
            else:
                registered.extend(_all(client, name))
        except Unsupported:
            pass  # a server without a registry still serves
        except SerinusError as error:
            trouble = error  # what serves is worth showing all the same
        rows = [
            row for row in joined(registered, served, only_registered=is_filtered) if archived or not row.is_put_away
        ]
        if name and not rows and not is_filtered and trouble is None:
            raise CommandFailed(f"no model {name[:128]!r} is there; 'serinus models list' shows those that are")
        _show(rows, server.address, as_json=as_json)
        if trouble is not None and (not rows or not name):
            raise trouble


def _all(client: Client, name: str) -> Iterable[pb.ModelVersion]:
    for model in client.registry.models():
        if name in {"", model.name}:
            yield from model.versions


def joined(
    registered: Iterable[pb.ModelVersion], served: Iterable[admin_pb2.ModelStatus], *, only_registered: bool
) -> list[Row]:
    """One row for each version, by name, newest first.

    Args:
        registered: What the registry has.
        served: What the server knows of.
        only_registered: Leave out what is served without being among `registered`.
    """
    statuses = {(status.model, status.version): status for status in served}
    rows = [Row(version, statuses.pop((version.model, version.version), None)) for version in registered]
    if not only_registered:
        rows.extend(Row(None, status) for status in statuses.values())
    return sorted(rows, key=lambda row: row.key)


def metric_bounds(texts: Iterable[str]) -> dict[str, tuple[float | None, float | None]]:
    """Each `NAME>=NUMBER` and `NAME<=NUMBER` as least and most by name.

    Raises:
        CommandFailed: one is neither.
    """
    bounds: dict[str, tuple[float | None, float | None]] = {}
    for text in texts:
        match = _BOUND.fullmatch(text.strip())
        try:
            name, sign, number = match.groups() if match else ("", "", "")
            bound = float(number)
        except ValueError as error:
            raise CommandFailed(
                f"--metric: expected such as 'accuracy>=0.9' or 'loss<=0.1', got {text[:128]!r}", code=ExitCode.USAGE
            ) from error
        least, most = bounds.get(name, (None, None))
        bounds[name] = (bound, most) if sign == ">=" else (least, bound)
    return bounds


def _show(rows: Sequence[Row], address: str, *, as_json: bool) -> None:
    if as_json:
        print_json([document(row) for row in rows])
        return
    if not rows:
        console().print(
            cell(
                f"The server at {address} has no such models: register one with `serinus models register`, "
                "or start the server with --model or --model-repository."
            )
        )
        return
    console().print(table_of(rows))


def table_of(rows: Iterable[Row]) -> object:
    """The rows for people."""
    table = plain_table("MODEL", "VERSION", "NUMBER", "STATE", "CALLS", "ALIASES", "REASON", right=("NUMBER", "CALLS"))
    for row in rows:
        one = row.registered or row.served
        assert one is not None
        words = list(row.registered.aliases) if row.registered is not None else ["(not registered)"]
        if row.registered is not None and row.registered.state == pb.VERSION_STATE_ARCHIVED:
            words.append("(archived)")
        table.add_row(
            cell(one.model),
            cell(one.version),
            cell(one.version_number),
            cell(row.state, state_style(row.state, row.reason)),
            cell(row.served.answered if row.served is not None else 0),
            cell(" ".join(words)),
            cell(row.reason),
        )
    return table


def document(row: Row) -> dict[str, object]:
    """The row as JSON."""
    registered, served = row.registered, row.served
    one = registered or served
    assert one is not None
    return {
        "model": one.model,
        "version": one.version,
        "version_number": one.version_number,
        "state": row.state,
        "reason": row.reason,
        "calls": served.answered if served is not None else 0,
        "registered": None
        if registered is None
        else {
            "state": state_word(registered),
            "placement": placement_word(registered),
            "aliases": list(registered.aliases),
            "framework": registered.framework,
            "metrics": dict(sorted(registered.metrics.items())),
            "tags": dict(sorted(registered.tags.items())),
        },
    }
