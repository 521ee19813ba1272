"""A server made of workers: claims the port, starts them, and answers for them over HTTP."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from serinus.app.duties import Duties, open_duties
from serinus.app.refusals import StartRefused, start_refusals
from serinus.config.sections import (
    DEFAULT_STATE,
    DrainSettings,
    GrpcSettings,
    HttpSettings,
    LoadingSettings,
    LogSettings,
    WorkerSettings,
)
from serinus.telemetry.logs import get_logger
from serinus.transport.http import HttpServer, http_face
from serinus.workers.control import Body, Handler
from serinus.workers.facts import Failure, WorkerState
from serinus.workers.place import PlaceRules
from serinus.workers.port import claim_port
from serinus.workers.process import Launch, WorkerProcess
from serinus.workers.restarts import RestartPolicy
from serinus.workers.supervisor import Supervisor, WorkerHandler, WorkersRefused

log = get_logger("serinus.supervisor")

_MARGIN_S = 5.0  # what a worker needs to go once its calls are over, on a machine whose cores are busy
_ASKED_S = 1.0  # a probe is not kept waiting for longer
_LOADS = 4  # the versions of one model, one after the other, or their turn behind those of others


@dataclasses.dataclass(frozen=True, slots=True)
class SupervisedSettings:
    """What a supervisor itself acts by; the rest is for the workers to read.

    Attributes:
        document: All settings, as `config.handing_over` made them. Holds secrets.
    """

    document: Mapping[str, Any] = dataclasses.field(repr=False)
    state: Path
    grpc: GrpcSettings
    http: HttpSettings
    workers: WorkerSettings
    drain: DrainSettings
    loading: LoadingSettings
    logs: LogSettings

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The settings in a document; they were valid when it was made."""
        return cls(
            document=document,
            state=Path(document.get("state", DEFAULT_STATE)),
            grpc=GrpcSettings.model_validate(document.get("grpc", {})),
            http=HttpSettings.model_validate(document.get("http", {})),
            workers=WorkerSettings.model_validate(document.get("workers", {})),
            drain=DrainSettings.model_validate(document.get("drain", {})),
            loading=LoadingSettings.model_validate(document.get("loading", {})),
            logs=LogSettings.model_validate(document.get("logs", {})),
        )


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
async def supervised_server(settings: SupervisedSettings, command: Sequence[str]) -> AsyncIterator[SupervisedServer]:
    """A server whose workers have been started when the block begins, and are gone when it ends.

    Args:
        settings: What the operator says.
        command: Begins a worker's process; see `Launch`.

    Raises:
        StartRefused: a port is taken.
    """
    host = settings.grpc.host
    with contextlib.ExitStack() as held:
        with start_refusals(f"cannot listen for gRPC on {settings.grpc.host_port}: "):
            port = held.enter_context(claim_port(host, settings.grpc.port))
        async with contextlib.AsyncExitStack() as block:
            with start_refusals():
                duties = await block.enter_async_context(
                    open_duties(
                        settings.workers,
                        lambda: supervisor,
                        uploads=settings.state / "staging",
                        relay_s=_LOADS * settings.loading.timeout_s,
                    )
                )
            supervisor = _supervisor(settings, command, duties, grpc_port=port.number)
            await block.enter_async_context(supervisor)
            face = http_face(
                exposition=duties.exposition,
                is_live=lambda: True,
                is_ready=lambda: any(each.state is WorkerState.READY for each in supervisor.workers()),
                ready_detail=_detail(supervisor),
            )
            with start_refusals():
                http = await block.enter_async_context(
                    HttpServer(face, host=settings.http.host, port=settings.http.port)
                )
            yield SupervisedServer(supervisor, port.number, http.port)


def _supervisor(settings: SupervisedSettings, command: Sequence[str], duties: Duties, *, grpc_port: int) -> Supervisor:
    workers, drain = settings.workers, settings.drain
    document = {
        **settings.document,
        "grpc": {**settings.document.get("grpc", {}), "host_port": _at(settings, grpc_port)},
    }
    launch = Launch(command, workers.count)

    def begin(index: int, *, handlers: Mapping[str, Handler]) -> WorkerProcess:
        return WorkerProcess(launch, index, handlers=handlers, on_end=duties.ended)

    async def told_settings(_index: int, _body: Body) -> Body:
        return document

    handlers: dict[str, WorkerHandler] = {"settings": told_settings, **duties.handlers()}
    return Supervisor(
        count=workers.count,
        begin=begin,
        rules=PlaceRules(
            ready_s=workers.ready_s,
            restarts=RestartPolicy(first_wait_s=workers.backoff_s, longest_wait_s=workers.longest_backoff_s),
        ),
        patience_s=drain.notice_s + drain.grace_s + _MARGIN_S,
        handlers=handlers,
    )


def _at(settings: SupervisedSettings, port: int) -> str:
    host = settings.grpc.host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
