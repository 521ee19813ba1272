"""What operators do with rollouts: start them, look at them, and say a word about them."""

import itertools
from collections.abc import Mapping, Sequence

from google.protobuf.message import Message

from serinus.config.rollout_spec import dump_rollout_spec
from serinus.core.errors import Overloaded
from serinus.core.version import check_model_name
from serinus.rollout.ports import Stored
from serinus.rollout.view import RolloutView
from serinus.serving.mirroring.disagreements import MOST_EXAMPLES
from serinus.threads import to_thread
from serinus.transport.callers import actor_of
from serinus.transport.calls import Calls
from serinus.transport.guard import AnswersMethod, Context, UnaryMethod
from serinus.transport.of_all_workers import OfAll, Others, no_others
from serinus.transport.paging import all_that_fit, fitting, page_of
from serinus.transport.registry.requests import expected_of
from serinus.transport.rollouts.messages import (
    disagreement_message,
    event_messages,
    rollout_message,
    simulated_message,
    view_message,
)
from serinus.transport.rollouts.ports import Rollouts
from serinus.transport.rollouts.requests import (
    id_or_model,
    reason_of,
    report_of,
    rollout_id,
    simulation_of,
    spec_of,
    winner_of,
)
from serinus.transport.rollouts.watches import RolloutWatches
from serinus.transport.service import typed_answers
from serinus_api.v1 import admin_pb2 as pb

_BUSY_S = 1.0  # a second in which a usual simulation gets far


class RolloutControls:
    """The methods of AdminService about rollouts.

    Attributes:
        rollouts: Keeps and moves them.
        calls: How methods are called.
        list_disagreements: Answered for all workers.
    """

    def __init__(self, rollouts: Rollouts, calls: Calls, others: Others = no_others) -> None:
        self._rollouts = rollouts
        self._calls = calls
        self._watches = RolloutWatches(rollouts)
        self._simulates = False
        self.list_disagreements = OfAll(
            "ListDisagreements",
            pb.ListDisagreementsRequest,
            pb.ListDisagreementsResponse,
            self._disagreements,
            _joined_disagreements,
            others,
        )

    def unary(self) -> Mapping[str, UnaryMethod]:
        """The methods with one answer, by name."""
        read, write = self._calls.read, self._calls.write
        return {
            "StartRollout": write(pb.StartRolloutRequest, self._start),
            "GetRollout": read(pb.GetRolloutRequest, self._get),
            "ListRollouts": read(pb.ListRolloutsRequest, self._list),
            "ListRolloutJournal": read(pb.ListRolloutJournalRequest, self._journal),
            "PauseRollout": write(pb.PauseRolloutRequest, self._pause),
            "ResumeRollout": write(pb.ResumeRolloutRequest, self._resume),
            "PromoteRollout": write(pb.PromoteRolloutRequest, self._promote),
            "AbortRollout": write(pb.AbortRolloutRequest, self._abort),
            "ListDisagreements": read(pb.ListDisagreementsRequest, self.list_disagreements),
            "SimulateRollout": self._calls.slow_read(pb.SimulateRolloutRequest, self._simulate),
            "ReportMetric": write(pb.ReportMetricRequest, self._report),
        }

    def answers(self) -> Mapping[str, AnswersMethod]:
        """The methods that stream their answers, by name."""
        watch = typed_answers(pb.WatchRolloutRequest, lambda asked, _context: self._watches.watch(asked))
        return {"WatchRollout": self._calls.until_drained(watch)}

    # What there is.

    async def _get(self, asked: pb.GetRolloutRequest) -> Message:
        rollout, model = id_or_model(asked)
        view = await (self._rollouts.get(rollout) if rollout else self._rollouts.newest(model))
        return pb.GetRolloutResponse(rollout=await _shown(view))

    async def _list(self, asked: pb.ListRolloutsRequest) -> Message:
        model = asked.model and check_model_name(asked.model)
        size, token = page_of(asked.page_size, asked.page_token)
        rollouts, rest = await fitting(
            size,
            lambda most: self._rollouts.page(model, active=asked.active, page_token=token, limit=most),
            _brief,
        )
        return pb.ListRolloutsResponse(rollouts=rollouts, next_page_token=rest)

    async def _journal(self, asked: pb.ListRolloutJournalRequest) -> Message:
        entries = await self._rollouts.journal(rollout_id(asked.id))
        return pb.ListRolloutJournalResponse(events=await to_thread(event_messages, entries))

    async def _disagreements(self, asked: pb.ListDisagreementsRequest) -> pb.ListDisagreementsResponse:
        found = await self._rollouts.disagreements(rollout_id(asked.id))
        shown = await to_thread(all_that_fit, found, disagreement_message)
        return pb.ListDisagreementsResponse(disagreements=shown)

    async def _simulate(self, asked: pb.SimulateRolloutRequest) -> Message:
        order = await simulation_of(asked)
        if self._simulates:
            raise Overloaded(
                "one simulation is running, the limit is 1", retry_after_s=_BUSY_S, reason="SIMULATION_BUSY"
            )
        self._simulates = True
        try:
            return simulated_message(await self._rollouts.simulate(order))
        finally:
            self._simulates = False

    # What an operator says.

    async def _start(self, asked: pb.StartRolloutRequest, context: Context) -> Message:
        actor = actor_of(asked.actor, context)
        spec = await spec_of(asked.spec_yaml)
        view = await self._rollouts.start(spec, actor=actor, expected_revision=expected_of(asked))
        return pb.StartRolloutResponse(rollout=await _shown(view))

    async def _pause(self, asked: pb.PauseRolloutRequest, context: Context) -> Message:
        view = await self._rollouts.pause(
            rollout_id(asked.id), actor=actor_of(asked.actor, context), expected_revision=expected_of(asked)
        )
        return pb.PauseRolloutResponse(rollout=await _shown(view))

    async def _resume(self, asked: pb.ResumeRolloutRequest, context: Context) -> Message:
        view = await self._rollouts.resume(
            rollout_id(asked.id), actor=actor_of(asked.actor, context), expected_revision=expected_of(asked)
        )
        return pb.ResumeRolloutResponse(rollout=await _shown(view))

    async def _promote(self, asked: pb.PromoteRolloutRequest, context: Context) -> Message:
        promote = self._rollouts.force_promote if asked.force else self._rollouts.promote
        view = await promote(
            rollout_id(asked.id),
            actor=actor_of(asked.actor, context),
            expected_revision=expected_of(asked),
            version=winner_of(asked),
        )
        return pb.PromoteRolloutResponse(rollout=await _shown(view))

    async def _abort(self, asked: pb.AbortRolloutRequest, context: Context) -> Message:
        view = await self._rollouts.abort(
            rollout_id(asked.id),
            actor=actor_of(asked.actor, context),
            expected_revision=expected_of(asked),
            reason=reason_of(asked),
        )
        return pb.AbortRolloutResponse(rollout=await _shown(view))

    async def _report(self, asked: pb.ReportMetricRequest, _context: Context) -> Message:
        return pb.ReportMetricResponse(counted=await self._rollouts.report_metric(report_of(asked)))


async def _shown(view: RolloutView) -> pb.Rollout:
    return view_message(view, await to_thread(dump_rollout_spec, view.stored.rollout.spec))


def _brief(stored: Stored) -> pb.Rollout:
    return rollout_message(stored, dump_rollout_spec(stored.rollout.spec))


def _joined_disagreements(
    _asked: pb.ListDisagreementsRequest, said: Sequence[pb.ListDisagreementsResponse]
) -> pb.ListDisagreementsResponse:
    """In turn from each worker's, so that what a person is shown comes from all; as many as one worker keeps."""
    turns = itertools.zip_longest(*(each.disagreements for each in said))
    found = (each for turn in turns for each in turn if each is not None)
    shown = all_that_fit(itertools.islice(found, MOST_EXAMPLES), lambda each: each)
    return pb.ListDisagreementsResponse(disagreements=shown)
