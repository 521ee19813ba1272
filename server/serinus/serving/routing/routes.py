"""In front of all models: sends the calls of those whose traffic is shared out, or has a fallback, the way decided."""

import dataclasses
import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence

from serinus.core.predictor import Predictor, Request, Response
from serinus.core.signature import Signature
from serinus.core.traffic import WHOLE, FallbackPolicy, Traffic, TrafficSplit, Trigger
from serinus.core.traffic import Arm as Share
from serinus.core.version import ModelVersion
from serinus.serving.fallback.fallback import Fallback, Meaning
from serinus.serving.output_checks import OutputCheck
from serinus.serving.routing.arms import Arm
from serinus.serving.routing.breaker import BreakerLimits, BreakerState
from serinus.serving.routing.choosing import ByName, BySplit, Chooser
from serinus.serving.routing.exposures import Exposures, RouteWindow
from serinus.serving.routing.gates import BreakerView, Gates
from serinus.serving.routing.model_routing import PIN, Mirrors, ModelRouting, RouteMetrics
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.serving")

_FAIR_S = 1.0  # who gives a call less time may be asking for too much, where nothing else is known of the model
_SILENCE_S = 60.0  # a watcher that breaks with each call must not fill the log


@dataclasses.dataclass(slots=True)
class _Decided:
    """What is in force for one model.

    Attributes:
        traffic: What was decided.
        gates: Its breakers.
        exposures: What is counted; None if nothing is.
        halted: Numbers of the versions that get no calls by it any more.
        chooser: Who is asked first.
        fallback: Who is asked last, with what is left of its budget; None for nobody.
        routing: The layer that calls pass.
    """

    traffic: Traffic
    gates: Gates
    exposures: Exposures | None
    halted: frozenset[int]
    chooser: Chooser
    fallback: Fallback | None
    routing: ModelRouting


class Routes:
    """The predictor that callers reach: a model without traffic costs one look into a table.

    All methods belong to the event loop. What is decided is replaced as a whole, so a call sees it before or after.

    Attributes:
        inner: The models.
        is_ready: Whether a version serves here now.
        meaning: What a model and a selector mean now ("" is what calls mean that name no version); None if nothing
            that is meant serves.
        signature_of: What a version takes and gives; None if it is not here.
        mirrors: Is offered what baselines answer; None for nobody.
        metrics: What is counted.
        rng: Draws calls without a routing key.
        breaker: What operators say about breakers.
        clock: The clock of deadlines, in seconds.
    """

    def __init__(
        self,
        inner: Predictor,
        *,
        is_ready: Callable[[ModelVersion], bool],
        meaning: Meaning,
        signature_of: Callable[[ModelVersion], Signature | None],
        mirrors: Mirrors | None,
        metrics: RouteMetrics,
        rng: random.Random,
        breaker: BreakerLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._is_ready = is_ready
        self._meaning = meaning
        self._signature_of = signature_of
        self._mirrors = mirrors
        self._metrics = metrics
        self._rng = rng
        self._breaker = breaker
        self._clock = clock
        self._decided: dict[str, _Decided] = {}
        self._routings: dict[str, ModelRouting] = {}
        self._silent_until: dict[str, float] = {}

    # On the path of every call.

    async def predict(self, request: Request, /) -> Response:
        """Answer a call; `request.version` is set to the version that it is sent to.

        Raises:
            ServerError: see `core.errors`.
        """
        routing = self._routings.get(request.model)
        if routing is not None:
            return await routing.predict(request)
        if request.attributes and not request.version:
            request.version = request.attributes.get(PIN, "")
        return await self._inner.predict(request)

    # What is decided.

    def apply(self, model: str, traffic: Traffic) -> None:
        """Let `traffic` be in force; equal traffic changes nothing.

        Counts go on while rollout and segment are the same. Breakers stay as they are, but for versions that get no
        calls any more, until `breaker_resets` changes.
        """
        present = self._decided.get(model)
        if present is not None and present.traffic == traffic:
            return
        if present is not None and present.traffic.breaker_resets != traffic.breaker_resets:
            present.gates.keep([])
        if traffic.split is None and traffic.fallback is None:
            if present is not None:
                present.gates.keep([])
                del self._decided[model], self._routings[model]
                self._tell(lambda: self._metrics.shared_out(model, ()))
            return
        decided = self._decided[model] = self._decide(model, traffic, present)
        self._routings[model] = decided.routing
        self._tell(lambda: self._metrics.shared_out(model, _shares(traffic.split, decided.halted)))

    def halt(self, model: str, versions: Sequence[ModelVersion]) -> None:
        """Send none of them a call any more that does not name it, until a split that differs is applied."""
        if (present := self._decided.get(model)) is not None:
            present.halted |= {version.number for version in versions}
            present.chooser.halt(present.halted)
            self._tell(lambda: self._metrics.shared_out(model, _shares(present.traffic.split, present.halted)))

    # What there is to know.

    def window(self, model: str) -> RouteWindow | None:
        """What was counted in the present segment; None if nothing is. Counts of mirrored calls are the mirror's."""
        present = self._decided.get(model)
        if present is None or present.exposures is None:
            return None
        observation = present.exposures.observation
        return RouteWindow(
            rollout=observation.rollout,
            segment=observation.segment,
            arms={number: counts.window() for number, counts in present.exposures.arms.items()},
            tripped=present.gates.tripped(),
        )

    def breakers(self, model: str) -> Mapping[ModelVersion, BreakerView]:
        """The breakers of a model; none for versions that nobody stands in for."""
        present = self._decided.get(model)
        return {} if present is None else present.gates.views()

    # How it is put together.

    def _decide(self, model: str, traffic: Traffic, present: _Decided | None) -> _Decided:
        split, policy = traffic.split, traffic.fallback
        gates = (
            Gates(self._breaker, clock=self._clock, changed=self._breaker_changed) if present is None else present.gates
        )
        halted = present.halted if present is not None and present.traffic.split == split else frozenset[int]()
        exposures = (
            None if split is None else Exposures.following(None if present is None else present.exposures, split)
        )
        arm_of = functools.partial(self._arm, traffic, gates, exposures)
        chooser: Chooser
        if split is None:
            chooser = ByName(model, functools.partial(self._meaning, model, ""), arm_of)
        else:
            named = [*(arm.version for arm in split.arms), *(rule.version for rule in split.rules)]
            arms = {version.number: arm_of(version) for version in named}
            gates.keep([arm.gate.version for arm in arms.values() if arm.gate is not None])
            chooser = BySplit(split, arms, is_ready=self._is_ready, rng=self._rng, halted=halted)
        if present is not None and present.traffic.fallback == policy:
            fallback = present.fallback
        else:
            fallback = None if policy is None else self._fallback(policy)
        routing = ModelRouting(
            self._inner,
            chooser=chooser,
            fallback=fallback,
            attempt_timeout_s=None if policy is None else policy.attempt_timeout_s,
            split=split,
            mirrors=self._mirrors,
            metrics=self._metrics,
            complaints=self,
            clock=self._clock,
        )
        return _Decided(traffic, gates, exposures, halted, chooser, fallback, routing)

    def _arm(self, traffic: Traffic, gates: Gates, exposures: Exposures | None, version: ModelVersion) -> Arm:
        split, policy = traffic.split, traffic.fallback
        if split is None and version.number:
            gates.keep([version])  # what calls mean has moved on
        observation = split and split.observation
        ranges = {**(policy.ranges if policy else {}), **(observation.ranges if observation else {})}
        # Nobody but a fallback stands in for the baseline: without one, its breaker would only add errors.
        has_stand_in = split is not None and version != split.baseline
        if policy is not None and Trigger.BREAKER in policy.triggers:
            has_stand_in = True
        return Arm(
            self._inner,
            version,
            gate=gates.of(version) if version.number and has_stand_in else None,
            counts=None if exposures is None else exposures.arms.get(version.number),
            check=OutputCheck(ranges),
            fair_s=(policy and policy.attempt_timeout_s) or (observation and observation.slow_s) or _FAIR_S,
            clock=self._clock,
            complaints=self,
        )

    def _fallback(self, policy: FallbackPolicy) -> Fallback:
        return Fallback(self._inner, policy, meaning=self._meaning, signature_of=self._signature_of, clock=self._clock)

    def _breaker_changed(self, version: ModelVersion, state: BreakerState) -> None:
        log.warning("breaker moved", model=version.model, version=version.version_text, state=state.value)
        self._tell(lambda: self._metrics.breaker_changed(version, state))

    def _tell(self, tell: Callable[[], None]) -> None:
        """Tell the metrics."""
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - what watches a call never fails it
            self.broken("metrics", error)

    def broken(self, part: str, error: Exception) -> None:
        """Log that `part`, a word, raised, at most once a minute; the call that it watched goes on."""
        now = self._clock()
        if now >= self._silent_until.get(part, now):
            self._silent_until[part] = now + _SILENCE_S
            log.error("routing lost a watcher", part=part, exc_info=error)


def _shares(split: TrafficSplit | None, halted: frozenset[int]) -> tuple[Share, ...]:
    """The arms with what they get now: none for those that are halted, whose part the baseline has."""
    if split is None:
        return ()
    others = [Share(arm.version, 0 if arm.version.number in halted else arm.weight) for arm in split.arms[:-1]]
    return (*others, Share(split.baseline, WHOLE - sum(arm.weight for arm in others)))
