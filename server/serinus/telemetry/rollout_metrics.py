"""What is counted about how calls are shared out among versions, and about the rollouts that decide it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from serinus.core.predictor import Route
from serinus.core.traffic import Arm, Trigger
from serinus.core.version import ModelVersion
from serinus.telemetry.outcome import BreakerState, Delivery, PairEnd, RolloutEvent, RolloutState

_LEAST_EVIDENCE = 1e-6  # evidence for a version has no end, and an axis that showed all of it would show nothing else


class VersionTraffic:
    """The counters of one loaded version.

    Attributes:
        version: Whose counters these are.
        calls: Calls that were sent to it, by the number of their `Route`.
        breaker: What its circuit breaker does.
        breaker_openings: How often the breaker took it out.
    """

    __slots__ = ("breaker", "breaker_openings", "calls", "version")

    def __init__(self, version: ModelVersion) -> None:
        self.version = version
        # A list, because an element of it is cheaper to raise than one of a dict.
        self.calls = [0] * (max(Route) + 1)
        self.breaker = BreakerState.CLOSED
        self.breaker_openings = 0


@dataclasses.dataclass(slots=True)
class ModelTraffic:
    """The counters of one model.

    Attributes:
        fallbacks: Calls that another answered, by why.
        failed_fallbacks: Calls that nobody else could answer either, or that there was no budget for, by why.
        pairs: Mirrored calls by what became of them.
        arms: How calls are shared out now; () while nothing does.
        state: Where its last rollout stands; None if it had none.
        decisions: What happened to its rollouts.
        evidence: Base-10 logarithm of the e-value by check, when the judge last looked.
    """

    fallbacks: dict[Trigger, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Trigger, 0))
    failed_fallbacks: dict[Trigger, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(Trigger, 0))
    pairs: dict[PairEnd, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(PairEnd, 0))
    arms: tuple[Arm, ...] = ()
    state: RolloutState | None = None
    decisions: dict[RolloutEvent, int] = dataclasses.field(default_factory=dict)
    evidence: Mapping[str, float] = dataclasses.field(default_factory=dict)


class RolloutMetrics:
    """The counters of all models and versions, written by the event loop alone and readable by any thread.

    Versions are known while they are loaded; models from the first event on until their last version is unloaded.
    What is said about others counts for nothing, so that late calls bring no series back. Nothing here raises.

    Attributes:
        deliveries: Tries to tell a webhook something, by how they ended.
    """

    def __init__(self) -> None:
        self.deliveries = dict.fromkeys(Delivery, 0)
        # By model and number, which identify a version and are cheaper to hash than all of it.
        self._versions: dict[tuple[str, int], VersionTraffic] = {}
        self._models: dict[str, ModelTraffic] = {}

    def __repr__(self) -> str:
        return f"<RolloutMetrics [{len(self._models)} models, {len(self._versions)} versions]>"

    # What there is to count about.

    def loaded(self, version: ModelVersion) -> None:
        """Count calls to a version from now on."""
        self._versions.setdefault((version.model, version.number), VersionTraffic(version))

    def forget(self, version: ModelVersion) -> None:
        """Show a version no more, nor its model if that was the last one; called once it is unloaded."""
        self._versions.pop((version.model, version.number), None)
        if all(model != version.model for model, _ in self._versions):
            self._models.pop(version.model, None)

    def versions(self) -> Sequence[VersionTraffic]:
        """The versions that are shown, in the order in which they came."""
        return tuple(self._versions.values())

    def models(self) -> Mapping[str, ModelTraffic]:
        """The models that something was said about, by name."""
        return self._models.copy()

    # What happens to calls.

    def routed(self, version: ModelVersion, route: Route) -> None:
        """A call was sent to a version."""
        if (traffic := self._versions.get((version.model, version.number))) is not None:
            traffic.calls[route] += 1

    def fell_back(self, model: str, trigger: Trigger) -> None:
        """A call of that model was answered by another than the chosen version."""
        self._model(model).fallbacks[trigger] += 1

    def fell_through(self, model: str, trigger: Trigger) -> None:
        """Nobody could answer a call of that model in the place of the chosen version, or nobody was to."""
        self._model(model).failed_fallbacks[trigger] += 1

    def mirrored(self, model: str, end: PairEnd) -> None:
        """A copy of a call of that model was compared, or could not be."""
        self._model(model).pairs[end] += 1

    def breaker_changed(self, version: ModelVersion, state: str) -> None:
        """The circuit breaker of a version is "closed", "open" or "half_open" from now on."""
        traffic = self._versions.get((version.model, version.number))
        now = BreakerState.of(state)
        if traffic is None or now is None:
            return
        if now is BreakerState.OPEN and traffic.breaker is not BreakerState.OPEN:
            traffic.breaker_openings += 1
        traffic.breaker = now

    # What is decided about them.

    def shared_out(self, model: str, arms: Sequence[Arm]) -> None:
        """The calls of that model are shared out so from now on; () for no more."""
        if arms or model in self._models:  # () may come when the last version has gone
            self._model(model).arms = tuple(arms)

    def decided(self, model: str, event: str, status: str) -> None:
        """Something happened to a rollout of that model, which stands there since; both as its journal has them."""
        traffic = self._model(model)
        kind = RolloutEvent.of(event)
        traffic.decisions[kind] = traffic.decisions.get(kind, 0) + 1
        traffic.state = RolloutState.of(status)

    def judged(self, model: str, e_values: Mapping[str, float]) -> None:
        """The judge has looked at the candidate of that model, and found this evidence against it, by check."""
        self._model(model).evidence = {
            check: math.log10(max(e_value, _LEAST_EVIDENCE)) for check, e_value in e_values.items()
        }

    def delivered(self, outcome: Delivery) -> None:
        """A try to tell a webhook something has ended."""
        self.deliveries[outcome] += 1

    def _model(self, model: str) -> ModelTraffic:
        if (traffic := self._models.get(model)) is None:
            traffic = self._models[model] = ModelTraffic()
        return traffic
