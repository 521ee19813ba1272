"""`serinus config check`: what a server would be told, and by whom, without starting it."""

from collections.abc import Sequence

import typer

from serinus.cli.json_option import JsonOption
from serinus.cli.output import ExitCode, cell, console, plain_table, print_json
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
from serinus.config.errors import ConfigError
from serinus.config.settings import Settings, describe
from serinus.config.triton_repository import read_repository

config_app = typer.Typer(help="Look at a server's configuration.", no_args_is_help=True)


@config_app.command("check")
def check(
    *,
    config: ConfigFlag = None,
    model: ModelFlags = [],  # noqa: B006 - typer reads it and never changes it
    model_repository: RepositoryFlag = None,
    grpc: GrpcFlag = None,
    http: HttpFlag = None,
    state: StateFlag = None,
    threads: ThreadsFlag = None,
    provider: ProviderFlags = [],  # noqa: B006 - the same
    max_message_mib: MessageFlag = None,
    log_level: LogLevelFlag = None,
    log_format: LogFormatFlag = None,
    as_json: JsonOption = False,
) -> None:
    """Show every value that would count and who said it, or every problem; takes the flags of `serinus serve`."""
    warnings: Sequence[str] = ()
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
        warnings = check_files(settings)
    except ConfigError as error:
        if not as_json:
            raise refused(error) from error
        print_json({"ok": False, "problems": error.problems})
        raise typer.Exit(ExitCode.USAGE) from error
    values = describe(settings)
    if as_json:
        found = [{"key": value.key, "value": value.value, "origin": value.origin.value} for value in values]
        print_json({"ok": True, "warnings": warnings, "values": found})
        return
    table = plain_table("KEY", "VALUE", "FROM")
    for value in values:
        table.add_row(cell(value.key), cell(_shown(value.value)), cell(value.origin.value))
    out = console()
    out.print(table)
    for warning in warnings:
        out.print(cell(f"warning: {warning}", "yellow"))


def check_files(settings: Settings) -> Sequence[str]:
    """Look for the files that the settings name; return what the repository asks for and will not get.

    Raises:
        ConfigError: a file is missing, or a model of the repository cannot be read.
    """
    problems = [
        f"models.{spec.name}: expected an ONNX file at {str(path)!r}, got none there"
        for spec in settings.model_specs
        for path in spec.versions.values()
        if not path.is_file()
    ]
    warnings: Sequence[str] = ()
    if settings.model_repository is not None:
        found = read_repository(settings.model_repository)
        warnings = found.warnings
        problems += [f"model_repository: {name!r}: {reason}" for name, reason in found.rejected.items()]
    if problems:
        raise ConfigError(problems)
    return warnings


def _shown(value: object) -> str:
    match value:
        case None | [] | {}:
            return "-"
        case bool():
            return str(value).lower()
        case list():
            return ", ".join(_shown(item) for item in value)
    return str(value)
