"""`serinus serve`: a server in the foreground."""

import os
import sys
from typing import TYPE_CHECKING

from serinus.cli.output import cell, console, print_json
from serinus.cli.server_flags import (
    ConfigFlag,
    GrpcFlag,
    HttpFlag,
    LogFormatFlag,
    LogLevelFlag,
    MessageFlag,
    ModelFlags,
    ProviderFlags,
    RepositoryFlag,
    StateFlag,
    ThreadsFlag,
    read_settings,
    refused,
)
from serinus.cli.target import JsonOption
from serinus.config.addresses import split_host_port
from serinus.config.errors import ConfigError
from serinus.config.settings import Settings

if TYPE_CHECKING:
    from serinus.app.server import RunningServer


def serve(
    *,
    model: ModelFlags = [],  # noqa: B006 - typer reads it and never changes it
    model_repository: RepositoryFlag = None,
    grpc: GrpcFlag = None,
    http: HttpFlag = None,
    config: ConfigFlag = None,
    state: StateFlag = None,
    threads: ThreadsFlag = None,
    provider: ProviderFlags = [],  # noqa: B006 - the same
    max_message_mib: MessageFlag = None,
    log_level: LogLevelFlag = None,
    log_format: LogFormatFlag = None,
    as_json: JsonOption = False,
) -> None:
    """Serve models over gRPC until SIGTERM or Ctrl-C.

    The first SIGTERM or SIGINT lets the calls in flight finish and exits 0; a second one exits at once with
    128 + its number. With --json, one object with the ports goes to standard output once calls are welcome.
    """
    try:
        settings = read_settings(
            config=config,
            model=model,
            model_repository=model_repository,
            grpc=grpc,
            http=http,
            state=state,
            threads=threads,
            provider=provider,
            max_message_mib=max_message_mib,
            log_level=log_level,
            log_format=log_format,
        )
    except ConfigError as error:
        raise refused(error) from error
    # Here and not above: onnxruntime takes a second that the other commands would wait for.
    from serinus.cli.serving import run_server  # noqa: PLC0415 - see the line above

    def announce(server: "RunningServer") -> None:
        if as_json:
            print_json(_document(settings, server))
        if sys.stderr.isatty():
            console(sys.stderr).print(cell(start_line(settings, server), "bold green"), soft_wrap=True)

    run_server(settings, announce)


def start_line(settings: Settings, server: "RunningServer") -> str:
    """What a person wants to know once the server answers."""
    models = ", ".join(f"{name} {version}" for name, version in _serving(server)) or "no models yet"
    return (
        f"serinus serves {models}: gRPC on {_at(settings.grpc.host_port, server.grpc_port)}, "
        f"metrics on http://{_at(settings.http.host_port, server.http_port)}/metrics (Ctrl-C stops)"
    )


def _document(settings: Settings, server: "RunningServer") -> dict[str, object]:
    return {
        "grpc": _at(settings.grpc.host_port, server.grpc_port),
        "http": _at(settings.http.host_port, server.http_port),
        "grpc_port": server.grpc_port,
        "http_port": server.http_port,
        "models": [{"model": name, "version": version} for name, version in _serving(server)],
        "pid": os.getpid(),
    }


def _serving(server: "RunningServer") -> list[tuple[str, str]]:
    return [(served.identity.model, served.identity.version_text) for served in server.models.serving()]


def _at(host_port: str, port: int) -> str:
    """The address that was asked for, with the port that was bound."""
    host, _ = split_host_port(host_port)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
