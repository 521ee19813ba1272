"""`serinus serve`: a server in the foreground."""

import dataclasses

from serinus.cli.handover import hand_over
from serinus.cli.json_option import JsonOption
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
    WorkersFlag,
    chosen_log_format,
    read_settings,
    refused,
)
from serinus.config.errors import ConfigError
from serinus.config.handing_over import document_of, supervision_of


def serve(
    *,
    model: ModelFlags = [],  # noqa: B006 - typer reads it and never changes it
    model_repository: RepositoryFlag = None,
    grpc: GrpcFlag = None,
    http: HttpFlag = None,
    config: ConfigFlag = None,
    state: StateFlag = None,
    workers: WorkersFlag = None,
    threads: ThreadsFlag = None,
    provider: ProviderFlags = [],  # noqa: B006 - the same
    max_message_mib: MessageFlag = None,
    log_level: LogLevelFlag = None,
    log_format: LogFormatFlag = None,
    as_json: JsonOption = False,
) -> None:
    """Serve models over gRPC until SIGTERM or Ctrl-C.

    The first SIGTERM or SIGINT lets the calls in flight finish and exits 0; a second one exits at once with
    128 + its number. SIGHUP replaces the workers, one after the other, without losing a call. With --json, one object
    with the ports goes to standard output once calls are welcome.
    """
    try:
        settings = read_settings(
            config=config,
            model=model,
            model_repository=model_repository,
            grpc=grpc,
            http=http,
            state=state,
            workers=workers,
            threads=threads,
            provider=provider,
            max_message_mib=max_message_mib,
            log_level=log_level,
            log_format=log_format,
        )
    except ConfigError as error:
        raise refused(error) from error
    if settings.workers.count:
        # Where standard error goes is seen here; workers must not decide for themselves.
        log_format = chosen_log_format(settings)
        document = document_of(settings)
        document["logs"] = {"level": settings.logs.level, "format": log_format}
        supervision = dataclasses.asdict(supervision_of(settings, log_format=log_format))
        hand_over({"supervision": supervision, "settings": document, "as_json": as_json})
    # Here and not above: onnxruntime takes a second that supervisors and the other commands would wait for.
    from serinus.cli.serving import run_server  # noqa: PLC0415 - see the line above

    run_server(settings, as_json=as_json)
