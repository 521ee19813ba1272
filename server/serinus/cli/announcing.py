"""What a server says once it answers: a line for a person, an object for a program."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Any

from serinus.cli.output import cell, console, print_json
from serinus.config.addresses import split_host_port


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """A server that answers.

    Attributes:
        grpc: The address that was asked for.
        grpc_port: The port that was bound.
        http: The address that was asked for.
        http_port: The port that was bound.
        models: Names and versions that serve.
        workers: Places and process numbers; None without a supervisor.
    """

    grpc: str
    grpc_port: int
    http: str
    http_port: int
    models: Sequence[tuple[str, str]]
    workers: Sequence[tuple[int, int]] | None = None


def announce(said: Announcement, *, as_json: bool) -> None:
    """Tell whoever started the server: a program on standard output, a person on a terminal."""
    if as_json:
        print_json(_document(said))
    if sys.stderr.isatty():
        console(sys.stderr).print(cell(_line(said), "bold green"), soft_wrap=True)


def _line(said: Announcement) -> str:
    models = ", ".join(f"{name} {version}" for name, version in said.models) or "no models yet"
    return (
        f"serinus serves {models}: gRPC on {_at(said.grpc, said.grpc_port)}, "
        f"metrics on http://{_at(said.http, said.http_port)}/metrics (Ctrl-C stops)"
    )


def _document(said: Announcement) -> dict[str, Any]:
    document: dict[str, Any] = {
        "grpc": _at(said.grpc, said.grpc_port),
        "http": _at(said.http, said.http_port),
        "grpc_port": said.grpc_port,
        "http_port": said.http_port,
        "models": [{"model": name, "version": version} for name, version in said.models],
        "pid": os.getpid(),
    }
    if said.workers is not None:
        document["workers"] = [{"index": index, "pid": pid} for index, pid in said.workers]
    return document


def _at(host_port: str, port: int) -> str:
    """The address that was asked for, with the port that was bound."""
    host, _ = split_host_port(host_port)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
