"""The breakers of one model's versions, as this server has them: each call passes one on its way to a version."""

import dataclasses
from collections.abc import Callable, Collection, Mapping

from serinus.core.version import ModelVersion
from serinus.serving.routing.breaker import Breaker, BreakerLimits, BreakerState


@dataclasses.dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker, for a person.

    Attributes:
        state: Where it stands.
        failures: In a row.
        retry_in_s: Seconds until it lets a probe through; 0.0 unless it is open.
    """

    state: BreakerState
    failures: int
    retry_in_s: float


class Gate:
    """The breaker of one version.

    Attributes:
        version: Whose.
        breaker: As it stands.
        clock: Seconds.
        changed: Told each new state.
    """

    __slots__ = ("_changed", "_clock", "breaker", "version")

    def __init__(
        self,
        version: ModelVersion,
        limits: BreakerLimits,
        *,
        clock: Callable[[], float],
        changed: Callable[[ModelVersion, BreakerState], None],
    ) -> None:
        self.version = version
        self.breaker = Breaker(limits)
        self._clock = clock
        self._changed = changed

    def admit(self) -> int | None:
        """The turn of a call that is let through, to be given back with its end; None if it is not."""
        breaker = self.breaker
        if breaker.state is BreakerState.CLOSED:
            return breaker.turn
        now = self._clock()
        if not breaker.admits(now):
            return None
        self._become(breaker.asked(now))
        return self.breaker.turn

    def answered(self, now: float, turn: int) -> None:
        """A call that was let through in `turn` was answered well."""
        breaker = self.breaker
        if breaker.failures or breaker.state is not BreakerState.CLOSED:
            self._become(breaker.answered(now, turn))

    def failed(self, now: float, turn: int) -> None:
        """The version failed such a call."""
        self._become(self.breaker.failed(now, turn))

    def released(self, turn: int) -> None:
        """Such a call ended in a way that says nothing about the version."""
        self._become(self.breaker.released(turn))

    def view(self) -> BreakerView:
        """As it stands now."""
        breaker = self.breaker
        return BreakerView(breaker.state, breaker.failures, breaker.retry_in_s(self._clock()))

    def _become(self, breaker: Breaker) -> None:
        state, self.breaker = self.breaker.state, breaker
        if breaker.state is not state:
            self._changed(self.version, breaker.state)


class Gates:
    """The breakers of one model, kept while its traffic changes around them.

    Attributes:
        limits: What opens one.
        clock: Seconds.
        changed: Told each new state of each.
    """

    def __init__(
        self,
        limits: BreakerLimits,
        *,
        clock: Callable[[], float],
        changed: Callable[[ModelVersion, BreakerState], None],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._changed = changed
        self._gates: dict[int, Gate] = {}

    def of(self, version: ModelVersion) -> Gate:
        """That of `version`; closed if it is new."""
        if (gate := self._gates.get(version.number)) is None:
            gate = Gate(version, self._limits, clock=self._clock, changed=self._changed)
            self._gates[version.number] = gate
        return gate

    def keep(self, versions: Collection[ModelVersion]) -> None:
        """Forget all others; one that was open counts as closed."""
        numbers = {version.number for version in versions}
        gone = [gate for number, gate in self._gates.items() if number not in numbers]
        self._gates = {number: gate for number, gate in self._gates.items() if number in numbers}
        for gate in gone:
            if gate.breaker.state is not BreakerState.CLOSED:
                self._changed(gate.version, BreakerState.CLOSED)

    def views(self) -> Mapping[ModelVersion, BreakerView]:
        """All of them, as they stand now."""
        return {gate.version: gate.view() for gate in self._gates.values()}

    def tripped(self) -> frozenset[int]:
        """Numbers of the versions that are taken out."""
        return frozenset(
            number for number, gate in self._gates.items() if gate.breaker.state is not BreakerState.CLOSED
        )
