"""Runs a server in this process until a signal ends it. Imports the whole server, so only `serve` imports this."""

import asyncio
import contextlib
import random
import sys
from collections.abc import Iterator

from serinus.app.refusals import StartRefused, refusal_in
from serinus.app.running import RunningServer
from serinus.app.server import running_server
from serinus.cli.announcing import Announcement, announce
from serinus.cli.ending import end_beside_runs
from serinus.cli.loops import loop_factory
from serinus.cli.output import CommandFailed
from serinus.cli.server_flags import chosen_log_format
from serinus.cli.signals import StopSignals
from serinus.config.settings import Settings
from serinus.telemetry.logs import Logs, configure_logs


def run_server(settings: Settings, *, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT, then answer the calls in flight and return.

    Args:
        settings: What the operator says.
        as_json: Whether a program reads standard output.

    Raises:
        CommandFailed: the server cannot start as it was told.
    """
    logs = configure_logs(sys.stderr, settings.logs.level, json=chosen_log_format(settings) == "json")
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings, logs, as_json=as_json))
        end_beside_runs()
    finally:
        logs.close()


async def _serve(settings: Settings, logs: Logs, *, as_json: bool) -> None:
    serving = asyncio.current_task()
    assert serving is not None, "this is a bug: a coroutine that runs is in a task"
    leaving: asyncio.Event | None = None

    def stop() -> None:
        # Two cases: 1. the server still starts, and need not finish; 2. calls may be in flight, and are answered.
        if leaving is None:
            serving.cancel()
        else:
            leaving.set()

    with StopSignals(stop) as signals, refusals():
        try:
            async with running_server(settings, logs=logs, rng=random.SystemRandom()) as server:
                leaving = server.told_to_leave
                announce(_announcement(settings, server), as_json=as_json)
                await leaving.wait()
                await server.drain()
        except asyncio.CancelledError:
            if not signals.is_stopping:
                raise


def _announcement(settings: Settings, server: RunningServer) -> Announcement:
    return Announcement(
        grpc=settings.grpc.host_port,
        grpc_port=server.grpc_port,
        http=settings.http.host_port,
        http_port=server.http_port,
        models=[(served.identity.model, served.identity.version_text) for served in server.models.serving()],
    )


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a start that was refused into a sentence."""
    try:
        yield
    except (StartRefused, BaseExceptionGroup) as error:
        refused = refusal_in(error)
        if refused is None:
            raise
        raise CommandFailed(str(refused)) from error
