"""Which version is asked first: by the rules and weights of a split, or the one that calls have always meant."""

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from serinus.core.predictor import Request, Route
from serinus.core.traffic import TrafficSplit, Trigger
from serinus.core.version import ModelVersion, Version
from serinus.serving.arms import Arm
from serinus.serving.exposures import ArmCounts
from serinus.serving.splitter import Splitter


@dataclasses.dataclass(slots=True)
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
        self._arms: Sequence[Arm] = [arms[arm.version.number] for arm in split.arms]
        self._rules = [(rule.attribute, rule.values, arms[rule.version.number]) for rule in split.rules]
        self._baseline = self._arms[-1]
        self._rescues = split.rescue
        self._is_ready = is_ready
        self._halted = halted

    def choose(self, request: Request) -> Choice:
        """Who is asked first: the arm of the first rule that matches, or else the one that the weights say."""
        arm = self._by_rule(request) if self._rules and request.attributes else None
        route, counts = Route.RULE, None
        if arm is None:
            arm = self._arms[self._splitter.place(request.routing_key)]
            route, counts = Route.WEIGHT, arm.counts
        # 1. Nobody stands in for the baseline here.
        if arm is self._baseline:
            return Choice(arm, route, arm.admit(), counts)
        # 2. The arm that is meant.
        serves = arm.version.number not in self._halted and self._is_ready(arm.version)
        turn = arm.admit() if serves else None
        if turn is not None:
            return Choice(arm, route, turn, counts)
        # 3. The baseline in its place. Such calls are no exposures: they are not what the weights say.
        diverted = Trigger.BREAKER if serves else None
        return Choice(self._baseline, route, self._baseline.admit(), None, diverted)

    def rescuer(self, choice: Choice) -> Arm | None:
        """The baseline, for other arms."""
        can_rescue = self._rescues and choice.arm is not self._baseline and self._is_ready(self._baseline.version)
        return self._baseline if can_rescue else None

    def halt(self, numbers: frozenset[int]) -> None:
        """Choose none of these versions any more."""
        self._halted |= numbers

    def _by_rule(self, request: Request) -> Arm | None:
        said = request.attributes
        for attribute, values, arm in self._rules:
            if said.get(attribute) in values:
                return arm
        return None


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
