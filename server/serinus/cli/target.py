"""The server that a command talks to: which it is, how to reach it, and what its errors mean at a command line."""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.addresses import check_host_port
from serinus_client import AsyncClient, Client, DeadlineExceeded, SerinusError, Tls, Unavailable

DEFAULT_SERVER = "127.0.0.1:8001"
ANSWER_S = 5.0  # an operator's question costs a server a millisecond; one that needs longer is as good as gone


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A server to talk to.

    Attributes:
        address: HOST:PORT.
        tls: The encrypted connection to it; None for plaintext.
    """

    address: str
    tls: Tls | None = None


def read_server(
    *,
    server: Annotated[
        str,
        typer.Option("--server", envvar="SERINUS_SERVER", metavar="HOST:PORT", help="The server to talk to."),
    ] = DEFAULT_SERVER,
    tls: Annotated[bool, typer.Option("--tls", help="Encrypt, and trust the system's authorities.")] = False,
    tls_ca: Annotated[
        Path | None, typer.Option("--tls-ca", metavar="FILE", help="Encrypt, and trust these authorities, PEM.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="This caller's certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")] = None,
    tls_server_name: Annotated[
        str, typer.Option("--tls-server-name", metavar="NAME", help="The name in the server's certificate.")
    ] = "",
) -> Server:
    """The server that the flags describe.

    Raises:
        CommandFailed: they describe none.
    """
    try:
        check_host_port(server)
    except ValueError as error:
        raise CommandFailed(f"--server: {error}", code=ExitCode.USAGE) from error
    if (tls_cert is None) != (tls_key is None):
        raise CommandFailed("--tls-cert and --tls-key: expected both or neither", code=ExitCode.USAGE)
    if not (tls or tls_ca or tls_cert or tls_server_name):
        return Server(server)
    return Server(
        server,
        Tls(
            ca=_content("--tls-ca", tls_ca),
            certificate=_content("--tls-cert", tls_cert),
            key=_content("--tls-key", tls_key),
            server_name=tls_server_name,
        ),
    )


def server_command(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes `server: Server`, with the flags of `read_server` in that argument's place."""
    flags = inspect.signature(read_server).parameters
    own = inspect.signature(command)
    parameters = [*(each for name, each in own.parameters.items() if name != "server"), *flags.values()]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        server = read_server(**{name: given.pop(name) for name in flags})
        command(**given, server=server)

    # typer reads the flags of a command from here.
    vars(run)["__signature__"] = own.replace(parameters=parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@contextlib.contextmanager
def connected(server: Server) -> Iterator[Client]:
    """A client of `server`; its failures inside the block become `CommandFailed`."""
    with translated(server), Client(server.address, tls=server.tls, timeout_s=ANSWER_S) as client:
        yield client


@contextlib.asynccontextmanager
async def connected_async(server: Server) -> AsyncIterator[AsyncClient]:
    """The same for a command that runs an event loop."""
    with translated(server):
        async with AsyncClient(server.address, tls=server.tls, timeout_s=ANSWER_S) as client:
            yield client


@contextlib.contextmanager
def translated(server: Server) -> Iterator[None]:
    """Turn what the SDK raises inside the block into a sentence and an exit code."""
    try:
        yield
    except SerinusError as error:
        raise failure(error, server.address) from error


def failure(error: SerinusError, address: str) -> CommandFailed:
    """What an error of a call means at a command line."""
    # Three cases: 1. nobody listens; 2. somebody takes the connection and is silent; 3. the server said no.
    if isinstance(error, Unavailable) and error.reason == Unavailable.default_reason:
        return CommandFailed(unreachable(address), code=ExitCode.UNREACHABLE)
    if isinstance(error, DeadlineExceeded) and error.reason == DeadlineExceeded.default_reason:
        return CommandFailed(
            f"the server at {address} did not answer in time: check the address, or whether it is overloaded",
            code=ExitCode.UNREACHABLE,
        )
    # The word behind the sentence is what scripts and the table in docs/registry.md go by.
    return CommandFailed(f"{error.message} ({error.reason})")


def unreachable(address: str) -> str:
    """The sentence about a server that is not there."""
    return (
        f"no server answers at {address}: start one with `serinus serve`, "
        "or name another with --server or SERINUS_SERVER"
    )


def _content(flag: str, file: Path | None) -> bytes | None:
    try:
        return None if file is None else file.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{flag}: cannot read {str(file)!r}: {error.strerror}", code=ExitCode.USAGE) from error
