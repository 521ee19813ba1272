"""The server that a command talks to: which it is, and what its errors mean at a command line."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import typer

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.addresses import check_host_port
from serinus_client import AsyncClient, Client, DeadlineExceeded, SerinusError, Unavailable

DEFAULT_SERVER = "127.0.0.1:8001"
ANSWER_S = 5.0  # an operator's question costs a server a millisecond; one that needs longer is as good as gone

ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="SERINUS_SERVER",
        metavar="HOST:PORT",
        help="The server to talk to.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs instead of text for people.")]


@contextlib.contextmanager
def connected(server: str) -> Iterator[Client]:
    """A client of `server`; its failures inside the block become `CommandFailed`."""
    check_server(server)
    with translated(server), Client(server, timeout_s=ANSWER_S) as client:
        yield client


@contextlib.asynccontextmanager
async def connected_async(server: str) -> AsyncIterator[AsyncClient]:
    """The same for a command that runs an event loop."""
    check_server(server)
    with translated(server):
        async with AsyncClient(server, timeout_s=ANSWER_S) as client:
            yield client


def check_server(server: str) -> None:
    """Refuse what is no HOST:PORT.

    Raises:
        CommandFailed: it is none.
    """
    try:
        check_host_port(server)
    except ValueError as error:
        raise CommandFailed(f"--server: {error}", code=ExitCode.USAGE) from error


@contextlib.contextmanager
def translated(server: str) -> Iterator[None]:
    """Turn what the SDK raises inside the block into a sentence and an exit code."""
    try:
        yield
    except SerinusError as error:
        raise failure(error, server) from error


def failure(error: SerinusError, server: str) -> CommandFailed:
    """What an error of a call means at a command line."""
    # Three cases: 1. nobody listens; 2. somebody takes the connection and is silent; 3. the server said no.
    if isinstance(error, Unavailable) and error.reason == Unavailable.default_reason:
        return CommandFailed(unreachable(server), code=ExitCode.UNREACHABLE)
    if isinstance(error, DeadlineExceeded):
        return CommandFailed(
            f"the server at {server} did not answer in time: check the address, or whether it is overloaded",
            code=ExitCode.UNREACHABLE,
        )
    return CommandFailed(error.message)


def unreachable(server: str) -> str:
    """The sentence about a server that is not there."""
    return (
        f"no server answers at {server}: start one with `serinus serve`, "
        "or name another with --server or SERINUS_SERVER"
    )
