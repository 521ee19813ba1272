"""Runs a server in this process until a signal ends it. Imports the whole server, so only `serve` imports this."""

import asyncio
import contextlib
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator

from serinus.app.server import RunningServer, StartRefused, running_server
from serinus.cli.output import CommandFailed
from serinus.cli.signals import StopSignals
from serinus.config.layers import Origin
from serinus.config.settings import Settings
from serinus.telemetry.logs import Logs, configure_logs, get_logger

log = get_logger("serinus.server")


def run_server(settings: Settings, announce: Callable[[RunningServer], None]) -> None:
    """Serve until SIGTERM or SIGINT, then answer the calls in flight and return.

    Args:
        settings: What the operator says.
        announce: Called once the server answers.

    Raises:
        CommandFailed: the server cannot start as it was told.
    """
    logs = configure_logs(sys.stderr, settings.logs.level, json=log_format(settings, sys.stderr.isatty()) == "json")
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings, logs, announce))
        # What still computes does so for nobody, perhaps for ever: the interpreter's end would wait for it, or crash.
        if stuck := [t.name for t in threading.enumerate() if t.name.startswith(("compute-", "load"))]:
            log.warning("ending beside runs", threads=stuck)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    finally:
        logs.close()


def log_format(settings: Settings, is_terminal: bool) -> str:  # noqa: FBT001 - a fact, not a switch
    """What the operator chose, or else what suits who reads standard error."""
    if is_terminal and settings.origin(("logs", "format")) is Origin.DEFAULT:
        return "console"
    return settings.logs.format


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where that is installed; None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, logs: Logs, announce: Callable[[RunningServer], None]) -> None:
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
                announce(server)
                await leaving.wait()
                await server.drain()
        except asyncio.CancelledError:
            if not signals.is_stopping:
                raise


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn a start that was refused into a sentence."""
    try:
        yield
    except StartRefused as error:
        raise CommandFailed(str(error)) from error
    except BaseExceptionGroup as group:
        # The server's task groups wrap what ends them.
        refused, others = group.split(StartRefused)
        if refused is None or others is not None:
            raise
        raise CommandFailed(str(_first_leaf(refused))) from group


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
