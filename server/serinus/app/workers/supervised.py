"""A server made of workers: claims the port, starts them, and answers for them over HTTP."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serinus.app.refusals import StartRefused, start_refusals
from serinus.app.workers.duties import Duties, open_duties
from serinus.config.addresses import split_host_port
from serinus.config.supervision import Supervision
from serinus.telemetry.logs import Logs, get_logger
from serinus.transport.http import HttpServer, http_face
from serinus.workers.control import Body, Handler
from serinus.workers.facts import Failure, WorkerState
from serinus.workers.place import PlaceRules
from serinus.workers.port import SharedPort, claim_port
from serinus.workers.process import Launch, WorkerProcess
from serinus.workers.restarts import RestartPolicy
from serinus.workers.supervisor import Supervisor, WorkerHandler, WorkersRefused

log = get_logger("serinus.supervisor")

_MARGIN_S = 5.0  # what a worker needs to go once its calls are over, on a machine whose cores are busy
_ASKED_S = 1.0  # a probe is not kept waiting for longer
_LOADS = 4  # the versions of one model, one after the other, or their turn behind those of others


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisedServer:
    """A server whose workers start, or serve.

    Attributes:
        supervisor: Of them.
        grpc_port: Claimed.
        http_port: Bound.
    """

    supervisor: Supervisor
    grpc_port: int
    http_port: int

    async def started(self) -> list[tuple[str, str]]:
        """Wait until all workers serve; gives the models that they do.

        Raises:
            StartRefused: they cannot serve what they are told to.
        """
        try:
            announced = await self.supervisor.started()
        except WorkersRefused as error:
            raise StartRefused(str(error)) from error
        log.info("serving", grpc_port=self.grpc_port, http_port=self.http_port, workers=len(announced))
        return [(model, version) for model, version in announced[0]["models"]] if announced else []


@contextlib.asynccontextmanager
async def supervised_server(
    supervision: Supervision, settings: Mapping[str, Any], command: Sequence[str], *, logs: Logs
) -> AsyncIterator[SupervisedServer]:
    """A server whose workers have been started when the block begins, and are gone when it ends.

    Args:
        supervision: What the operator says of it.
        settings: All that the operator says, as `config.handing_over` made it, for the workers to read. Holds secrets.
        command: Begins a worker's process; see `Launch`.
        logs: Of this process.

    Raises:
        StartRefused: a port is taken.
    """
    with contextlib.ExitStack() as held:
        with start_refusals(f"cannot listen for gRPC on {supervision.grpc}: "):
            port = held.enter_context(claim_port(*split_host_port(supervision.grpc)))
        async with contextlib.AsyncExitStack() as block:
            with start_refusals():
                duties = await block.enter_async_context(
                    open_duties(
                        supervision,
                        lambda: supervisor,
                        logs=logs,
                        uploads=Path(supervision.state) / "staging",
                        relay_s=_LOADS * supervision.load_s,
                    )
                )
            supervisor = _supervisor(supervision, _sharing(settings, supervision, port), command, duties)
            await block.enter_async_context(supervisor)
            face = http_face(
                exposition=duties.exposition,
                is_live=lambda: True,
                is_ready=lambda: any(each.state is WorkerState.READY for each in supervisor.workers()),
                ready_detail=_detail(supervisor),
            )
            http_host, http_port = split_host_port(supervision.http)
            with start_refusals():
                http = await block.enter_async_context(HttpServer(face, host=http_host, port=http_port))
            yield SupervisedServer(supervisor, port.number, http.port)


def _supervisor(
    supervision: Supervision, settings: Mapping[str, Any], command: Sequence[str], duties: Duties
) -> Supervisor:
    launch = Launch(command, supervision.workers)

    def begin(index: int, *, handlers: Mapping[str, Handler]) -> WorkerProcess:
        process = WorkerProcess(launch, index, handlers=handlers, on_end=duties.ended)
        duties.began(process.pid)
        return process

    async def told_settings(_index: int, _body: Body) -> Body:
        return dict(settings)

    handlers: dict[str, WorkerHandler] = {"settings": told_settings, **duties.handlers()}
    return Supervisor(
        count=supervision.workers,
        begin=begin,
        rules=PlaceRules(
            ready_s=supervision.ready_s,
            silent_s=supervision.silent_s,
            restarts=RestartPolicy(first_wait_s=supervision.backoff_s, longest_wait_s=supervision.longest_backoff_s),
        ),
        patience_s=supervision.leave_s + _MARGIN_S,
        handlers=handlers,
    )


def _sharing(settings: Mapping[str, Any], supervision: Supervision, port: SharedPort) -> dict[str, Any]:
    """The settings with the port that was claimed, which any may have been asked for."""
    host, _ = split_host_port(supervision.grpc)
    address = f"[{host}]:{port.number}" if ":" in host else f"{host}:{port.number}"
    return {**settings, "grpc": {**settings.get("grpc", {}), "host_port": address}}


def _detail(supervisor: Supervisor) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """What a probe is told beside yes and no: what the first worker to answer knows, and how each of them fares."""

    async def detail() -> Mapping[str, Any]:
        answers = await supervisor.ask_all("detail", {}, timeout_s=_ASKED_S)
        known = next((answer for answer in answers.values() if not isinstance(answer, Failure)), {})
        workers = [
            {"index": each.index, "state": each.state, "restarts": each.restarts} for each in supervisor.workers()
        ]
        return {**known, "workers": workers}

    return detail
