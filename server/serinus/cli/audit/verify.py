"""`serinus audit verify`: whether the chain of all writes is whole, by the server or without one."""

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.audit.offline import verify_database
from serinus.cli.audit.verdict import Verdict
from serinus.cli.json_option import JsonOption
from serinus.cli.output import CommandFailed, ExitCode, cell, console, print_json
from serinus.cli.target import Server, connected, server_command

_VERIFY_S = 600.0  # a million writes
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


@server_command
def verify(
    *,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Without a server: the registry in this state folder."),
    ] = None,
    database: Annotated[
        str, typer.Option("--database", metavar="URL", help="Without a server: the registry in this database.")
    ] = "",
    expect_head: Annotated[
        str,
        typer.Option(
            "--expect-head",
            metavar="HASH",
            help="Fail unless this hash, kept from an earlier look, is in the chain: nothing was cut off its end.",
        ),
    ] = "",
    server: Server,
    as_json: JsonOption = False,
) -> None:
    """Compute the chain of all writes again: exit code 0 whole, 1 not."""
    if state is not None and database:
        raise CommandFailed("--state and --database: expected at most one", code=ExitCode.USAGE)
    if expect_head and _HASH.fullmatch(expect_head) is None:
        raise CommandFailed("--expect-head: expected 64 lower-case hexadecimal digits", code=ExitCode.USAGE)
    if state is not None or database:
        verdict = asyncio.run(verify_database(database or _file_url(state or Path()), expect_head))
    else:
        verdict = _ask(server, expect_head)
    if as_json:
        print_json({**dataclasses.asdict(verdict), "whole": verdict.is_whole})
    else:
        console().print(cell(verdict.sentence, "green" if verdict.is_whole else "red"), soft_wrap=True)
    if not verdict.is_whole:
        raise typer.Exit(ExitCode.FAILED)


def _ask(server: Server, expect_head: str) -> Verdict:
    with connected(server) as client:
        answer = client.admin.verify_audit(timeout_s=_VERIFY_S)
        has_expected = expect_head in {"", answer.head} or any(
            entry.hash == expect_head for entry in client.admin.list_audit()
        )
    return Verdict(
        entries=answer.entries,
        first_broken=answer.first_broken,
        problem=answer.problem,
        head=answer.head,
        has_expected_head=has_expected,
    )


def _file_url(state: Path) -> str:
    return f"sqlite:///{(state / 'registry.db').absolute()}"
