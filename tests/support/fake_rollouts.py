"""The part of AdminService that moves calls, in memory behind a real port: tests see what it was asked."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from serinus.core.errors import Conflict, NotFound, ServerError
from serinus.transport.status import status_of
from serinus_api.v1 import admin_pb2 as pb


class FakeRollouts:
    """Serves rollouts and splits: `with FakeRollouts() as fake`.

    Attributes:
        asked: Every request received, in order.
        rollouts: By id, oldest first.
        journal: Entries by id.
        stories: What watches tell, one list for each watch; once they have run out, where the rollout stands.
        while_watched: Called by each watch once it has told its story.
        disagreements: What ListDisagreements says.
        traffic: By model.
        faults: What every call of a method fails with, by its name.
        reports: Report ids that were counted.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.rollouts: dict[str, pb.Rollout] = {}
        self.journal: dict[str, list[pb.RolloutEvent]] = {}
        self.stories: list[list[pb.Rollout]] = []
        self.while_watched: Callable[[], None] = lambda: None
        self.disagreements: list[pb.Disagreement] = []
        self.traffic: dict[str, pb.ModelTraffic] = {}
        self.faults: dict[str, ServerError] = {}
        self.reports: set[str] = set()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((self._handlers(),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()

    def add(self, *rollouts: pb.Rollout) -> None:
        """Put rollouts there."""
        self.rollouts.update({rollout.id: rollout for rollout in rollouts})

    def asked_for(self, kind: type) -> list[Any]:
        """The requests of one kind."""
        return [request for request in self.asked if isinstance(request, kind)]

    def _handlers(self) -> grpc.GenericRpcHandler:
        methods = {}
        for method in pb.DESCRIPTOR.services_by_name["AdminService"].methods:
            answer = getattr(self, f"_{method.name}", None)
            if answer is None:
                continue
            make = (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            methods[method.name] = make(
                self._told(method.name, answer) if method.server_streaming else self._answered(method.name, answer),
                request_deserializer=getattr(pb, method.input_type.name).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        return grpc.method_handlers_generic_handler("serinus.v1.AdminService", methods)

    def _answered(self, name: str, answer: Any) -> Any:
        def handle(request, context):
            self.asked.append(request)
            try:
                if name in self.faults:
                    raise self.faults[name]
                return answer(request)
            except ServerError as error:
                _abort(context, error)

        return handle

    def _told(self, name: str, answer: Any) -> Any:
        def handle(request, context):
            self.asked.append(request)
            try:
                if name in self.faults:
                    raise self.faults[name]
                yield from answer(request)
            except ServerError as error:
                _abort(context, error)

        return handle

    def _find(self, request: Any) -> pb.Rollout:
        if request.id:
            if request.id in self.rollouts:
                return self.rollouts[request.id]
            raise NotFound(f"there is no rollout {request.id!r}", field="id")
        for rollout in reversed(self.rollouts.values()):
            if rollout.model == request.model:
                return rollout
        raise NotFound(f"model {request.model!r} never had a rollout", field="model")

    def _change(self, request: Any, status: Any) -> pb.Rollout:
        rollout = self._find(pb.GetRolloutRequest(id=request.id))
        if request.HasField("expected_revision") and request.expected_revision != rollout.revision:
            raise Conflict(
                f"rollout {rollout.id!r} is at revision {rollout.revision}, expected {request.expected_revision}",
                current_revision=rollout.revision,
            )
        rollout.status, rollout.revision = status, rollout.revision + 1
        return rollout

    def _StartRollout(self, request):  # noqa: N802 - the protocol's name
        rollout = pb.Rollout(
            id="r-new", revision=1, model="magika", baseline="1.0.0", candidates=["1.1.0"], spec_yaml=request.spec_yaml,
            status=pb.ROLLOUT_STATUS_PREPARING, stages=["shadow 10 %", "canary 100 %"], started_by=request.actor,
        )  # fmt: skip
        self.add(rollout)
        return pb.StartRolloutResponse(rollout=rollout)

    def _GetRollout(self, request):  # noqa: N802 - the protocol's name
        return pb.GetRolloutResponse(rollout=self._find(request))

    def _ListRollouts(self, request):  # noqa: N802 - the protocol's name
        found = [each for each in reversed(self.rollouts.values()) if request.model in {"", each.model}]
        return pb.ListRolloutsResponse(
            rollouts=[each for each in found if not (request.active and each.HasField("ended_at"))]
        )

    def _WatchRollout(self, request) -> Iterator[pb.WatchRolloutResponse]:  # noqa: N802 - the protocol's name
        found = self._find(request)
        for rollout in self.stories.pop(0) if self.stories else [found]:
            yield pb.WatchRolloutResponse(rollout=rollout)
        self.while_watched()

    def _ListRolloutJournal(self, request):  # noqa: N802 - the protocol's name
        return pb.ListRolloutJournalResponse(events=self.journal.get(request.id, []))

    def _PauseRollout(self, request):  # noqa: N802 - the protocol's name
        return pb.PauseRolloutResponse(rollout=self._change(request, pb.ROLLOUT_STATUS_PAUSED))

    def _ResumeRollout(self, request):  # noqa: N802 - the protocol's name
        return pb.ResumeRolloutResponse(rollout=self._change(request, pb.ROLLOUT_STATUS_RUNNING))

    def _PromoteRollout(self, request):  # noqa: N802 - the protocol's name
        return pb.PromoteRolloutResponse(rollout=self._change(request, pb.ROLLOUT_STATUS_RUNNING))

    def _AbortRollout(self, request):  # noqa: N802 - the protocol's name
        return pb.AbortRolloutResponse(rollout=self._change(request, pb.ROLLOUT_STATUS_ABORTED))

    def _ListDisagreements(self, _):  # noqa: N802 - the protocol's name
        return pb.ListDisagreementsResponse(disagreements=self.disagreements)

    def _ReportMetric(self, request):  # noqa: N802 - the protocol's name
        is_new = request.report_id not in self.reports
        if request.report_id:
            self.reports.add(request.report_id)
        return pb.ReportMetricResponse(counted=is_new)

    def _traffic_of(self, model: str) -> pb.ModelTraffic:
        return self.traffic.setdefault(model, pb.ModelTraffic(model=model, revision=3))

    def _GetSplit(self, request):  # noqa: N802 - the protocol's name
        return pb.GetSplitResponse(traffic=self._traffic_of(request.model))

    def _SetSplit(self, request):  # noqa: N802 - the protocol's name
        traffic = self._traffic_of(request.model)
        del traffic.arms[:], traffic.rules[:]
        traffic.arms.extend(request.arms)
        traffic.rules.extend(request.rules)
        return pb.SetSplitResponse(traffic=traffic)

    def _SetFallback(self, request):  # noqa: N802 - the protocol's name
        traffic = self._traffic_of(request.model)
        traffic.fallback.CopyFrom(request.fallback)
        return pb.SetFallbackResponse(traffic=traffic)

    def _ResetBreaker(self, request):  # noqa: N802 - the protocol's name
        traffic = self._traffic_of(request.model)
        del traffic.breakers[:]
        return pb.ResetBreakerResponse(traffic=traffic)

    def _Drain(self, _):  # noqa: N802 - the protocol's name
        return pb.DrainResponse()


def _abort(context: grpc.ServicerContext, error: ServerError) -> None:
    status = status_of(error)
    context.set_trailing_metadata(status.trailers())
    context.abort(status.code, status.message)
