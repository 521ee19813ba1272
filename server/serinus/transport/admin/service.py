"""serinus.v1.AdminService: what the server is doing now, what it serves, and what was done to the registry."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import grpc

from serinus.lifecycle.models import Models
from serinus.telemetry.metrics import Metrics
from serinus.transport.admin.messages import model_status, worker_status
from serinus.transport.admin.status_merging import Places, no_places, own_status, status_of_all
from serinus.transport.guard import AnswersMethod, UnaryMethod, welcome
from serinus.transport.registry.messages import timestamp_of
from serinus.transport.rollouts.values import Worker
from serinus.transport.service import service, typed
from serinus_api.v1 import admin_pb2 as pb

NAME = "serinus.v1.AdminService"

_NONE: Mapping[str, UnaryMethod] = MappingProxyType({})
_NO_ANSWERS: Mapping[str, AnswersMethod] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, slots=True)
class ServerFacts:
    """What does not change while the server runs.

    Attributes:
        version: Of the program.
        started_unix_s: When it started, in seconds since 1970.
        compute_threads: Threads that run models.
    """

    version: str
    started_unix_s: float
    compute_threads: int


class AdminService:
    """Reports on `models` and `metrics`, and on the processes that serve.

    Attributes:
        models: What this process serves.
        metrics: What it counts.
        facts: What it is.
        is_ready: Whether calls should be sent to it.
        workers: This process, and others of which it knows no more than that.
        places: All workers of its supervisor.
    """

    def __init__(
        self,
        *,
        models: Models,
        metrics: Metrics,
        facts: ServerFacts,
        is_ready: Callable[[], bool],
        workers: Callable[[], Sequence[Worker]],
        places: Places = no_places,
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._facts = facts
        self._is_ready = is_ready
        self._workers = workers
        self._places = places

    def handler(
        self, controls: Mapping[str, UnaryMethod] = _NONE, answers: Mapping[str, AnswersMethod] = _NO_ANSWERS
    ) -> grpc.GenericRpcHandler:
        """What a server registers, `controls` and `answers` among its methods. It reports while the server drains."""
        unary = {"GetServerStatus": typed(pb.GetServerStatusRequest, self._status), **controls}
        return service(NAME, unary=unary, answers=answers, arrive=welcome)

    def serving(self, model: str) -> Sequence[pb.ModelStatus]:
        """The versions of a model that serve, newest first."""
        return [each for each in self._statuses() if each.model == model and each.state == pb.MODEL_STATE_READY]

    def _statuses(self) -> Sequence[pb.ModelStatus]:
        counters = {metrics.version: metrics for metrics in self._metrics.models()}
        return [model_status(status, counters.get(status.identity)) for status in self._models.index()]

    def own_status(self) -> bytes:
        """What this process does, for another one that reports on all."""
        return own_status(self._own())

    async def _status(self, _asked: pb.GetServerStatusRequest) -> pb.GetServerStatusResponse:
        return status_of_all(self._own(), os.getpid(), await self._places())

    def _own(self) -> pb.GetServerStatusResponse:
        return pb.GetServerStatusResponse(
            server_version=self._facts.version,
            started_at=timestamp_of(self._facts.started_unix_s),
            ready=self._is_ready(),
            models=self._statuses(),
            bytes_in_flight=self._metrics.bytes_in_flight or 0,
            bytes_limit=self._metrics.bytes_limit or 0,
            event_loop_lag_us=int(self._metrics.loop_lag_s * 1e6),
            compute_threads=self._facts.compute_threads,
            workers=[worker_status(worker) for worker in self._workers()],
        )
