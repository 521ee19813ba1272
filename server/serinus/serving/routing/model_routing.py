"""The calls of one model: has a version chosen, asks it, and lets others answer what it could not."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from serinus.core.predictor import Predictor, Request, Response, Route
from serinus.core.traffic import Arm as Share
from serinus.core.traffic import TrafficSplit, Trigger
from serinus.core.version import ModelVersion
from serinus.serving.fallback.fallback import Fallback, second_try
from serinus.serving.routing.arms import UNNOTED, Arm, Complaints
from serinus.serving.routing.breaker import BreakerState
from serinus.serving.routing.choosing import Choice, Chooser

PIN: Final = "version"
"""The attribute by which a caller names a version beside the protocol, as the header `x-serinus-version` does."""


class Mirrors(Protocol):
    """Who copies calls to a version whose answers nobody gets."""

    def offer(self, request: Request, response: Response, split: TrafficSplit) -> None:
        """The baseline has answered `request`, which names it; returns at once, and changes neither."""
        ...


class RouteMetrics(Protocol):
    """What is counted about the calls of models whose traffic is shared out or has a fallback."""

    def routed(self, version: ModelVersion, route: Route) -> None:
        """A call was answered by `version`."""
        ...

    def fell_back(self, model: str, trigger: Trigger) -> None:
        """Another one than the chosen version answered."""
        ...

    def fell_through(self, model: str, trigger: Trigger) -> None:
        """Nobody else could answer either, or there was no budget for it."""
        ...

    def breaker_changed(self, version: ModelVersion, state: BreakerState) -> None:
        """A breaker has moved."""
        ...

    def shared_out(self, model: str, arms: Sequence[Share]) -> None:
        """The calls of that model are shared out so from now on; () for no more."""
        ...


class ModelRouting:
    """The layer in front of one model whose traffic is shared out, has a fallback, or both.

    Attributes:
        inner: Answers calls that name a version.
        chooser: Who is asked first.
        fallback: Who is asked last; None for nobody.
        attempt_timeout_s: What a version may take before it counts as too late; None for all the time there is.
        mirrors: Is offered what the baseline answers of `split`; None for nobody.
        metrics: What is counted.
        complaints: Where watchers that break are reported.
        clock: The clock of deadlines, in seconds.
    """

    def __init__(
        self,
        inner: Predictor,
        *,
        chooser: Chooser,
        fallback: Fallback | None,
        attempt_timeout_s: float | None,
        split: TrafficSplit | None,
        mirrors: Mirrors | None,
        metrics: RouteMetrics,
        complaints: Complaints,
        clock: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._chooser = chooser
        self._fallback = fallback
        self._attempt_timeout_s = attempt_timeout_s
        self._split = split
        self._mirrors = mirrors
        self._mirrored = split if split is not None and split.mirror is not None else None
        self._metrics = metrics
        self._complaints = complaints
        self._clock = clock

    async def predict(self, request: Request, /) -> Response:
        """Answer a call.

        Raises:
            ServerError: what the chosen version raised, where nobody else has answered.
        """
        if request.attributes and not request.version:
            request.version = request.attributes.get(PIN, "")
        if request.version:
            return await self._pinned(request)
        if self._fallback is not None:
            self._fallback.budget.earn()
        choice = self._chooser.choose(request)
        turn = choice.turn
        if turn is None:
            response = await self._others(request, choice, Trigger.BREAKER)
            if response is not None:
                return response
            # Nobody can stand in: asking a version that fails is better than not asking.
            turn = UNNOTED
        if self._attempt_timeout_s is None:
            asked = request
            asked.version = choice.arm.selector
        else:
            asked = self._copy(request, choice.arm)  # there must be time left for others
        attempt = await choice.arm.ask(asked, turn=turn, counts=choice.counts)
        if attempt.trigger is not None and choice.turn is not None:
            response = await self._others(request, choice, attempt.trigger)
            if response is not None:
                return response
        response = attempt.result()
        self._finish(asked, response, choice)
        return response

    def _copy(self, request: Request, arm: Arm) -> Request:
        """The call for an arm, in a copy of its own, with the time that an arm may take."""
        deadline = request.deadline
        if self._attempt_timeout_s is not None:
            deadline = min(deadline, self._clock() + self._attempt_timeout_s)
        return second_try(request, model=request.model, version=arm.selector, deadline=deadline)

    async def _pinned(self, request: Request) -> Response:
        """Whoever names a version gets that one or nothing."""
        response = await self._inner.predict(request)
        response.route = Route.USUAL if self._split is None else Route.PINNED
        self._note(lambda: self._metrics.routed(response.answered_by, response.route))
        return response

    async def _others(self, request: Request, choice: Choice, trigger: Trigger) -> Response | None:
        """What somebody else than the chosen arm answers; None if nobody is to be asked, or nobody could."""
        fallback = self._fallback if self._fallback is not None and self._fallback.answers(trigger) else None
        rescuer = self._chooser.rescuer(choice)
        arms = [choice.arm] if rescuer is None else [choice.arm, rescuer]
        response = None if rescuer is None else await self._rescued(request, rescuer)
        if response is None and fallback is not None:
            tried = {arm.version.number for arm in arms}
            response = await fallback.answer(request, choice.arm.version, tried)
        if response is not None:
            response.route, response.fallback = choice.route, trigger
            if trigger is Trigger.INVALID and choice.turn is not None:
                choice.arm.disproved(choice.turn)
            self._note(lambda: self._metrics.fell_back(request.model, trigger))
        elif rescuer is not None or fallback is not None:
            self._note(lambda: self._metrics.fell_through(request.model, trigger))
        return response

    async def _rescued(self, request: Request, rescuer: Arm) -> Response | None:
        """What the baseline answers in the time that is left; None if it cannot either."""
        if self._clock() >= request.deadline or (turn := rescuer.admit()) is None:
            return None
        attempt = await rescuer.ask(self._copy(request, rescuer), turn=turn, counts=None)
        return attempt.response if attempt.trigger is None else None

    def _finish(self, asked: Request, response: Response, choice: Choice) -> None:
        """Say in the answer how it came about; offer it to the mirror."""
        response.route, response.fallback = choice.route, choice.diverted
        try:
            self._metrics.routed(response.answered_by, choice.route)
            if choice.diverted is not None:
                self._metrics.fell_back(asked.model, choice.diverted)
        except Exception as error:  # noqa: BLE001 - what watches a call never fails it
            self._complaints.broken("metrics", error)
        split = self._mirrored
        if split is not None and self._mirrors is not None and asked.version == split.baseline.number_text:
            try:
                self._mirrors.offer(asked, response, split)
            except Exception as error:  # noqa: BLE001 - nor does what copies it
                self._complaints.broken("mirror", error)

    def _note(self, note: Callable[[], None]) -> None:
        """Tell the metrics."""
        try:
            note()
        except Exception as error:  # noqa: BLE001 - what watches a call never fails it
            self._complaints.broken("metrics", error)
