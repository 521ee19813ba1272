"""What operators do with the calls of a model: share them out by hand, let others answer, close breakers."""

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.message import Message

from serinus.core.version import check_model_name
from serinus.registry.records import ModelRecord
from serinus.transport.callers import actor_of
from serinus.transport.calls import Calls
from serinus.transport.guard import Context, UnaryMethod
from serinus.transport.of_all_workers import OfAll, Others, no_others
from serinus.transport.registry.requests import expected_of
from serinus.transport.rollouts.ports import TrafficControl
from serinus.transport.traffic.messages import traffic_message
from serinus.transport.traffic.requests import policy_of, split_of
from serinus_api.v1 import admin_pb2 as pb

_BY_SEVERITY: Final = ("closed", "half_open", "open")


class TrafficControls:
    """The methods of AdminService about splits, fallbacks and breakers.

    Attributes:
        traffic: Keeps them.
        calls: How methods are called.
        get_split: Answered for all workers.
    """

    def __init__(self, traffic: TrafficControl, calls: Calls, others: Others = no_others) -> None:
        self._traffic = traffic
        self._calls = calls
        self.get_split = OfAll("GetSplit", pb.GetSplitRequest, pb.GetSplitResponse, self._get, _joined, others)

    def unary(self) -> Mapping[str, UnaryMethod]:
        """The methods by name."""
        read, write = self._calls.read, self._calls.write
        return {
            "GetSplit": read(pb.GetSplitRequest, self.get_split),
            "SetSplit": write(pb.SetSplitRequest, self._set_split),
            "SetFallback": write(pb.SetFallbackRequest, self._set_fallback),
            "ResetBreaker": write(pb.ResetBreakerRequest, self._reset_breaker),
        }

    async def _get(self, asked: pb.GetSplitRequest) -> pb.GetSplitResponse:
        return pb.GetSplitResponse(traffic=self._shown(await self._traffic.get(check_model_name(asked.model))))

    async def _set_split(self, asked: pb.SetSplitRequest, context: Context) -> Message:
        record = await self._traffic.set_split(
            check_model_name(asked.model),
            split_of(asked),
            actor=actor_of(asked.actor, context),
            expected_revision=expected_of(asked),
        )
        return pb.SetSplitResponse(traffic=self._shown(record))

    async def _set_fallback(self, asked: pb.SetFallbackRequest, context: Context) -> Message:
        model = check_model_name(asked.model)
        record = await self._traffic.set_fallback(
            model,
            policy_of(model, asked.fallback),
            actor=actor_of(asked.actor, context),
            expected_revision=expected_of(asked),
        )
        return pb.SetFallbackResponse(traffic=self._shown(record))

    async def _reset_breaker(self, asked: pb.ResetBreakerRequest, context: Context) -> Message:
        model = check_model_name(asked.model)
        record = await self._traffic.reset_breakers(model, actor=actor_of(asked.actor, context))
        return pb.ResetBreakerResponse(traffic=self._shown(record))

    def _shown(self, record: ModelRecord) -> pb.ModelTraffic:
        return traffic_message(record, self._traffic.breakers(record.name))


def _joined(_asked: pb.GetSplitRequest, said: Sequence[pb.GetSplitResponse]) -> pb.GetSplitResponse:
    """What is decided is the same everywhere; of each version, the breaker of the worker where it fares worst."""
    mine = said[0]
    worst: dict[str, pb.BreakerStatus] = {}
    for answer in said:
        for breaker in answer.traffic.breakers:
            if breaker.version not in worst or _severity(breaker) > _severity(worst[breaker.version]):
                worst[breaker.version] = breaker
    joined = pb.GetSplitResponse(traffic=mine.traffic)
    del joined.traffic.breakers[:]
    joined.traffic.breakers.extend(worst.values())
    return joined


def _severity(breaker: pb.BreakerStatus) -> tuple[int, int, float]:
    return _BY_SEVERITY.index(breaker.state), breaker.failures_in_a_row, breaker.retry_in_s
