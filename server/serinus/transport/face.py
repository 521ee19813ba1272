"""Puts the gRPC services together; what they share is made here once."""

import dataclasses
from typing import Any

import grpc

from open_inference.grpc_service_pb2 import ModelInferRequest
from serinus.config.sections import LimitSettings
from serinus.core.errors import Unsupported
from serinus.core.predictor import Predictor
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import Logs
from serinus.telemetry.metrics import Metrics
from serinus.transport import health, predict_service
from serinus.transport.admin import service as admin_service
from serinus.transport.admin.controls import Controls
from serinus.transport.admin.learned_costs import LearnedCostsOf, list_learned_costs, nothing_learned
from serinus.transport.admin.service import AdminService, ServerFacts
from serinus.transport.admin.status_merging import Places, no_places
from serinus.transport.calls import Calls
from serinus.transport.deadlines import Budgets
from serinus.transport.drain import Drain
from serinus.transport.health import Health
from serinus.transport.of_all_workers import OfAll, Others, no_others
from serinus.transport.oip import service as oip_service
from serinus.transport.oip.decode import InferDecoder
from serinus.transport.oip.infer import OipInfer
from serinus.transport.oip.service import OipService, Repository, SayLogs, nobody_to_say_it_to
from serinus.transport.predict_codec import PredictDecoder
from serinus.transport.predict_service import PredictService
from serinus.transport.reflection import reflection_handlers
from serinus.transport.registry import service as registry_service
from serinus.transport.registry.ports import RegistryParts
from serinus.transport.registry.service import RegistryService
from serinus.transport.rollouts.controls import RolloutControls
from serinus.transport.rollouts.ports import RolloutPorts
from serinus.transport.service import typed
from serinus.transport.traffic.controls import TrafficControls
from serinus.transport.wire_limits import WireLimits
from serinus_api.v1.predict_pb2 import PredictRequest


@dataclasses.dataclass(frozen=True, slots=True)
class FaceParts:
    """What the services are made from.

    Attributes:
        models: What there is to serve.
        predictor: What answers predictions: `models`, or what stands in front of them.
        places: All workers, where there are several.
        costs: What runs were seen to cost.
        others: The other workers, where there are several.
        say_logs: Tells them what is to be logged.
        worker: Which of how many processes that share the port this one is.
    """

    models: Models
    predictor: Predictor
    sources: Repository
    metrics: Metrics
    logs: Logs
    drain: Drain
    limits: LimitSettings
    facts: ServerFacts
    registry: RegistryParts
    rollouts: RolloutPorts
    places: Places = no_places
    costs: LearnedCostsOf = nothing_learned
    others: Others = no_others
    say_logs: SayLogs = nobody_to_say_it_to
    worker: str = "1/1"


class Face:
    """All services of the server. Closed → open → closed: closed, it answers, and says that it is not ready."""

    service_names = (predict_service.NAME, registry_service.NAME, admin_service.NAME, oip_service.NAME)

    def __init__(self, parts: FaceParts) -> None:
        self._parts = parts
        self._open = False
        self._of_all: dict[str, OfAll[Any, Any]] = {}
        self._health = Health(self.service_names, parts.drain)
        self._admin = AdminService(
            models=parts.models,
            metrics=parts.metrics,
            facts=parts.facts,
            is_ready=self.is_ready,
            workers=parts.rollouts.workers,
            places=parts.places,
        )

    def open(self) -> None:
        """Be ready from now on."""
        self._open = True
        self._health.say(serving=True)

    def close(self) -> None:
        """Be ready no more; calls that come are still answered."""
        self._open = False
        self._health.say(serving=False)

    def is_ready(self) -> bool:
        """Whether calls should be sent here."""
        return self._open

    def own_status(self) -> bytes:
        """What this process does, for another worker that reports on all."""
        return self._admin.own_status()

    async def said_alone(self, method: str, message: bytes) -> bytes:
        """What this process says to a method that another worker answers for all; `handlers` were made before.

        Raises:
            Unsupported: no method of that name is answered so.
        """
        if (found := self._of_all.get(method)) is None:
            raise Unsupported(f"{method[:64]!r} is answered by each worker for itself")
        return await found.alone(message)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a server registers."""
        parts = self._parts
        limits = parts.limits
        budgets = Budgets(default_s=limits.default_budget_s, longest_s=limits.max_deadline_s)
        infer_limits = WireLimits.of(ModelInferRequest, limits.max_inputs)
        predict = PredictService(
            models=parts.models,
            predictor=parts.predictor,
            decoder=PredictDecoder(budgets=budgets, max_inputs=limits.max_inputs),
            limits=WireLimits.of(PredictRequest, limits.max_inputs),
            drain=parts.drain,
            metrics=parts.metrics,
            worker=parts.worker,
        )
        infer = OipInfer(
            models=parts.models,
            predictor=parts.predictor,
            decoder=InferDecoder(budgets=budgets, limits=infer_limits),
            drain=parts.drain,
            metrics=parts.metrics,
        )
        oip = OipService(
            models=parts.models,
            repository=parts.sources,
            infer=infer,
            logs=parts.logs,
            is_ready=self.is_ready,
            server_version=parts.facts.version,
            others=parts.others,
            say_logs=parts.say_logs,
        )
        self._of_all |= oip.of_all
        calls = Calls(parts.drain, budgets)
        registry = RegistryService(parts.registry, calls=calls, max_inputs=limits.max_inputs)
        return (
            predict.handler(parts.drain.arrive),
            oip.handler(parts.drain.arrive),
            self._administration(calls),
            registry.handler(),
            self._health.handler(),
            *reflection_handlers((*self.service_names, health.NAME), parts.drain),
        )

    def _administration(self, calls: Calls) -> grpc.GenericRpcHandler:
        parts, ports = self._parts, self._parts.rollouts
        controls = Controls(
            placements=parts.registry.placements,
            audit=parts.registry.audit,
            calls=calls,
            serving=self._admin.serving,
            drain=ports.drain,
        )
        rollouts = RolloutControls(ports.rollouts, calls, parts.others)
        traffic = TrafficControls(ports.traffic, calls, parts.others)
        costs = list_learned_costs(parts.costs, parts.others)
        self._of_all |= {each.name: each for each in (costs, rollouts.list_disagreements, traffic.get_split)}
        unary = {**controls.unary(), **rollouts.unary(), **traffic.unary(), costs.name: typed(costs.asked, costs)}
        return self._admin.handler(unary, rollouts.answers())
