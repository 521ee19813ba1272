"""The flags that describe a server, for the commands that take them, and the settings that they make."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.errors import ConfigError
from serinus.config.layers import Origin
from serinus.config.model_flags import parse_model_flag
from serinus.config.settings import Settings, load_settings

if TYPE_CHECKING:
    from serinus.config.models import ModelSpec

ConfigFlag = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file, TOML.")]
ModelFlags = Annotated[
    list[str], typer.Option("--model", metavar="NAME=PATH.onnx", help="A model to serve; repeatable.")
]
RepositoryFlag = Annotated[
    Path | None,
    typer.Option("--model-repository", metavar="DIR", help="A folder of models in Triton's layout."),
]
GrpcFlag = Annotated[
    str | None, typer.Option("--grpc", metavar="HOST:PORT", help="Where to answer gRPC (default: 127.0.0.1:8001).")
]
HttpFlag = Annotated[
    str | None,
    typer.Option("--http", metavar="HOST:PORT", help="Where to answer metrics and probes (default: 127.0.0.1:8002)."),
]
StateFlag = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="What outlives the server (default: serinus-state).")
]
WorkersFlag = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Processes that serve; 0 serves in this one (default: 1)."),
]
ThreadsFlag = Annotated[
    int | None,
    typer.Option(
        "--threads", metavar="N", help="Threads that run models in each worker (default: its share of the CPU quota)."
    ),
]
ProviderFlags = Annotated[
    list[str],
    typer.Option(
        "--provider", metavar="NAME", help="Execution provider, most wanted first; repeatable (default: cpu)."
    ),
]
MessageFlag = Annotated[
    int | None, typer.Option("--max-message-mib", metavar="N", help="Longest message in MiB (default: 16).")
]
LogLevelFlag = Annotated[
    str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error (default: info).")
]
LogFormatFlag = Annotated[
    str | None,
    typer.Option("--log-format", metavar="FORMAT", help="json or console (default: console on a terminal, else json)."),
]


def read_settings(
    *,
    config: Path | None,
    model: Sequence[str],
    model_repository: Path | None,
    grpc: str | None,
    http: str | None,
    state: Path | None,
    workers: int | None = None,
    threads: int | None,
    provider: Sequence[str],
    max_message_mib: int | None,
    log_level: str | None,
    log_format: str | None,
) -> Settings:
    """What the flags, the environment and the file say together.

    Raises:
        ConfigError: something that cannot be meant; all of it at once.
    """
    problems: list[str] = []
    specs: list[ModelSpec] = []
    for text in model:
        try:
            specs.append(parse_model_flag(text, cwd=Path.cwd()))
        except ConfigError as error:
            problems.extend(error.problems)
    flags = {
        "models": specs,
        "model_repository": model_repository,
        "grpc.host_port": grpc,
        "http.host_port": http,
        "state": state,
        "workers.count": workers,
        "compute.threads": threads,
        "compute.providers": tuple(provider) or None,
        "grpc.max_message_mib": max_message_mib,
        "logs.level": log_level,
        "logs.format": log_format,
    }
    try:
        settings = load_settings(config, flags=flags, environ=os.environ)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return settings


def chosen_log_format(settings: Settings) -> str:
    """What the operator chose, or else what suits who reads standard error."""
    if sys.stderr.isatty() and settings.origin(("logs", "format")) is Origin.DEFAULT:
        return "console"
    return settings.logs.format


def refused(error: ConfigError) -> CommandFailed:
    """Every problem as a sentence of its own."""
    return CommandFailed(*error.problems, code=ExitCode.USAGE)
