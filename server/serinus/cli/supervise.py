"""Runs a supervisor in this process until a signal ends it."""

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from serinus.app.refusals import StartRefused
from serinus.app.workers.supervised import SupervisedServer, supervised_server
from serinus.cli.announcing import Announcement, announce
from serinus.cli.loops import loop_factory
from serinus.cli.output import ExitCode
from serinus.cli.signals import StopSignals
from serinus.cli.worker import worker_command
from serinus.config.supervision import Supervision
from serinus.telemetry.log_fields import visible
from serinus.telemetry.logs import Logs, configure_logs


def supervise(handed: Mapping[str, Any]) -> int:
    """Have workers serve until SIGTERM or SIGINT, let them answer the calls in flight, and return an exit code.

    Args:
        handed: `supervision` and `settings`, as `config.handing_over` made them, and whether to announce `as_json`.
    """
    supervision = Supervision(**handed["supervision"])
    logs = configure_logs(sys.stderr, supervision.log_level, json=supervision.log_format == "json")
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_supervise(supervision, handed["settings"], logs, as_json=handed["as_json"]))
    except StartRefused as error:
        sys.stderr.write(f"error: {visible(str(error))}\n")
        return ExitCode.FAILED
    finally:
        logs.close()
    return ExitCode.OK


async def _supervise(supervision: Supervision, settings: Mapping[str, Any], logs: Logs, *, as_json: bool) -> None:
    supervising = asyncio.current_task()
    assert supervising is not None, "this is a bug: a coroutine that runs is in a task"
    server: SupervisedServer | None = None
    is_ready = False

    def stop() -> None:
        # Two cases: 1. the workers still start, and need not finish; 2. calls may be in flight, and are answered.
        if server is None or not is_ready:
            supervising.cancel()
        else:
            server.supervisor.told_to_leave.set()

    def hang_up() -> None:
        if server is not None:
            server.supervisor.roll()

    def end_process(code: int) -> None:
        if server is not None:
            server.supervisor.kill_all()
        os._exit(code)

    with StopSignals(stop, hang_up=hang_up, end_process=end_process) as signals:
        try:
            async with supervised_server(supervision, settings, worker_command(), logs=logs) as server:
                announced = await server.started()
                is_ready = True
                announce(_announcement(supervision, server, announced), as_json=as_json)
                await server.supervisor.told_to_leave.wait()
                await server.supervisor.drain()
        except asyncio.CancelledError:
            if not signals.is_stopping:
                raise


def _announcement(supervision: Supervision, server: SupervisedServer, models: list[tuple[str, str]]) -> Announcement:
    return Announcement(
        grpc=supervision.grpc,
        grpc_port=server.grpc_port,
        http=supervision.http,
        http_port=server.http_port,
        models=models,
        workers=[(worker.index, worker.pid or 0) for worker in server.supervisor.workers()],
    )
