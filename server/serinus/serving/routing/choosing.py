"""Which version is asked first: by the rules and weights of a split, or the one that calls have always meant."""

import dataclasses
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from serinus.core.predictor import Request, Route
from serinus.core.traffic import TrafficSplit, Trigger
from serinus.core.version import ModelVersion, Version
from serinus.serving.routing.arms import UNNOTED, Arm
from serinus.serving.routing.exposures import ArmCounts
from serinus.serving.routing.splitter import Splitter


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """Who is asked first.

    Attributes:
        arm: The version.
        route: Why.
        turn: What its breaker said; None if it lets nothing through and no other arm stands in.
        counts: Where the call is counted; None if it is not one of those that the judge sees.
        diverted: Why it is not the version that the split means, where the call is to be flagged with that.
    """

    arm: Arm
    route: Route
    turn: int | None
    counts: ArmCounts | None = None
    diverted: Trigger | None = None


class Chooser(Protocol):
    """Chooses; nothing is awaited between its choice and the call."""

    def choose(self, request: Request) -> Choice:
        """Who is asked first."""
        ...

    def rescuer(self, choice: Choice) -> Arm | None:
        """Which arm answers what the chosen one could not; None if no arm does."""
        ...

    def halt(self, numbers: frozenset[int]) -> None:
        """Choose none of these versions any more; the baseline is always chosen."""
        ...


class BySplit:
    """Chooses by the rules and weights of `split`.

    Attributes:
        split: Whose.
        arms: By number of the version, all that the split can choose.
        is_ready: Whether a version serves here now.
        rng: Draws calls without a routing key.
        halted: Numbers of versions that are not chosen any more.
    """

    def __init__(
        self,
        split: TrafficSplit,
        arms: Mapping[int, Arm],
        *,
        is_ready: Callable[[ModelVersion], bool],
        rng: random.Random,
        halted: frozenset[int],
    ) -> None:
        self._splitter = Splitter(split, rng)
        # Made once: nearly all calls go where they are meant to, through a breaker that has not moved since.
        self._by_weight = [_meant(arms[arm.version.number], Route.WEIGHT) for arm in split.arms]
        self._by_rule = [
            (rule.attribute, rule.values, _meant(arms[rule.version.number], Route.RULE)) for rule in split.rules
        ]
        self._baseline = arms[split.baseline.number]
        self._rescues = split.rescue
        self._is_ready = is_ready
        self._halted = halted

    def choose(self, request: Request) -> Choice:
        """Who is asked first: the arm of the first rule that matches, or else the one that the weights say."""
        meant = self._rule_for(request.attributes) if self._by_rule and request.attributes else None
        if meant is None:
            meant = self._by_weight[self._splitter.place(request.routing_key)]
        arm = meant.arm
        if arm is not self._baseline and (arm.version.number in self._halted or not self._is_ready(arm.version)):
            return self._diverted(meant.route, None)
        turn = arm.admit()
        if turn == meant.turn:
            return meant
        if turn is None and arm is not self._baseline:
            return self._diverted(meant.route, Trigger.BREAKER)
        return Choice(arm, meant.route, turn, meant.counts)

    def _diverted(self, route: Route, trigger: Trigger | None) -> Choice:
        """The baseline in another's place. Such calls are no exposures: they are not what the weights say."""
        return Choice(self._baseline, route, self._baseline.admit(), None, trigger)

    def rescuer(self, choice: Choice) -> Arm | None:
        """The baseline, for other arms."""
        can_rescue = self._rescues and choice.arm is not self._baseline and self._is_ready(self._baseline.version)
        return self._baseline if can_rescue else None

    def halt(self, numbers: frozenset[int]) -> None:
        """Choose none of these versions any more."""
        self._halted |= numbers

    def _rule_for(self, said: Mapping[str, str]) -> Choice | None:
        for attribute, values, meant in self._by_rule:
            if said.get(attribute) in values:
                return meant
        return None


def _meant(arm: Arm, route: Route) -> Choice:
    """The choice of an arm while its breaker stays as it is; the judge sees what goes there by weight."""
    turn = UNNOTED if arm.gate is None else arm.gate.breaker.turn
    return Choice(arm, route, turn, arm.counts if route is Route.WEIGHT else None)


class ByName:
    """Chooses what a call that names no version means anyway: for models that have a fallback and no split.

    Attributes:
        model: Its name.
        usual: What that is now; None if nothing serves.
        arm_of: Makes an arm.
    """

    def __init__(
        self, model: str, usual: Callable[[], ModelVersion | None], arm_of: Callable[[ModelVersion], Arm]
    ) -> None:
        self._nothing = ModelVersion(model, Version(0), 0)
        self._usual = usual
        self._arm_of = arm_of
        self._arm = arm_of(self._nothing)

    def choose(self, request: Request) -> Choice:  # noqa: ARG002 - it is the same for all
        """The one that there is."""
        version = self._usual() or self._nothing
        if version != self._arm.version:
            self._arm = self._arm_of(version)
        return Choice(self._arm, Route.USUAL, self._arm.admit())

    def rescuer(self, choice: Choice) -> None:
        """No arm rescues the only one."""

    def halt(self, numbers: frozenset[int]) -> None:
        """Nothing is chosen by weight."""
