"""Everything that is measured, in one object that the composition root makes and injects."""

import collections
import time
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from serinus.core.version import ModelVersion
from serinus.telemetry.collector import ServerCollector
from serinus.telemetry.load_metrics import LoadMetrics
from serinus.telemetry.memory import MemoryPressure
from serinus.telemetry.model_metrics import ModelMetrics, reading
from serinus.telemetry.outcome import Refusal
from serinus.telemetry.rollout_collector import RolloutCollector
from serinus.telemetry.rollout_metrics import RolloutMetrics
from serinus.telemetry.triton import TritonCollector

_LAGS_KEPT = 150
"""At the default tick of `LoopLag` the last 15 seconds, a usual scrape interval: no stall falls between two scrapes."""


class Metrics:
    """The counters of the server and of each loaded version.

    The event loop writes; any thread may read, as a scrape does. Series are bounded: label values are loaded versions
    and the closed lists of `telemetry.outcome`.

    Attributes:
        loop_lag_s: How late the event loop ran its last timer.
        refused_by: Calls refused before they were known to belong to a model.
        loads: Versions that came into memory, or could not.
        rollouts: How calls are shared out among versions.
        memory: How near the process is to its limit; None when nobody says.
    """

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time) -> None:
        self.loop_lag_s = 0.0
        self.refused_by = dict.fromkeys(Refusal, 0)
        self.loads = LoadMetrics()
        self.rollouts = RolloutMetrics()
        self._clock = clock
        # By model and number, which identify a version and are cheaper to hash than all of it.
        self._models: dict[tuple[str, int], ModelMetrics] = {}
        self._lags: collections.deque[float] = collections.deque(maxlen=_LAGS_KEPT)
        self._bytes_in_flight: Callable[[], int] | None = None
        self._bytes_limit: int | None = None
        self.memory: MemoryPressure | None = None
        self._registry_revision: Callable[[], int] | None = None
        self._registry_behind: Callable[[], bool] | None = None
        registry.register(ServerCollector(self))
        registry.register(TritonCollector(self))
        registry.register(RolloutCollector(self.rollouts))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

    def __repr__(self) -> str:
        return f"<Metrics [{len(self._models)} models]>"

    def model(self, version: ModelVersion) -> ModelMetrics:
        """The counters of a version, made when first asked for; callers on the predict path keep what they get."""
        key = version.model, version.number
        if (model := self._models.get(key)) is None:
            model = self._models[key] = ModelMetrics(version, clock=self._clock)
            self.rollouts.loaded(version)
        return model

    def encoded(self, version: ModelVersion, seconds: float) -> None:
        """An answer of that version was turned into bytes, by someone who knows the version only from the answer.

        A version that was forgotten meanwhile stays so: the last answers of an unloaded model bring no series back.
        """
        if (model := self._models.get((version.model, version.number))) is not None:
            model.encoded(seconds)

    def forget(self, version: ModelVersion) -> None:
        """Show a version no more; called once it is unloaded. Its handle stays usable and unseen."""
        self._models.pop((version.model, version.number), None)
        self.rollouts.forget(version)

    def models(self) -> Sequence[ModelMetrics]:
        """The versions that are shown, in the order in which they came."""
        return tuple(self._models.values())

    def refused(self, reason: str) -> None:
        """A call was refused before it was known to belong to a model, for a reason such as "NOT_FOUND"."""
        self.refused_by[Refusal.of(reason)] += 1

    def loop_lag(self, seconds: float) -> None:
        """The event loop ran a timer this late."""
        self.loop_lag_s = seconds
        self._lags.append(seconds)

    @property
    def worst_loop_lag_s(self) -> float:
        """The longest lag of the last 15 seconds or so."""
        return max(self._lags.copy(), default=0.0)

    def watch_bytes_in_flight(self, read: Callable[[], int], limit: int) -> None:
        """Read the bytes of all calls in flight from now on with `read`, which may be called from any thread."""
        self._bytes_in_flight = read
        self._bytes_limit = limit

    @property
    def bytes_in_flight(self) -> int | None:
        """Bytes of all calls in flight now; None when nobody says."""
        return reading(self._bytes_in_flight)

    @property
    def bytes_limit(self) -> int | None:
        """The most bytes of calls that are admitted at once; None when nobody says."""
        return self._bytes_limit

    def watch_memory(self, pressure: MemoryPressure) -> None:
        """Read there, from now on, how near the process is to its memory limit."""
        self.memory = pressure

    def watch_registry(self, revision: Callable[[], int], is_behind: Callable[[], bool]) -> None:
        """Read from now on which revision of the registry is known, and whether there may be newer ones."""
        self._registry_revision = revision
        self._registry_behind = is_behind

    @property
    def registry_revision(self) -> int | None:
        """The newest revision of the registry that is known; None when nobody says."""
        return reading(self._registry_revision)

    @property
    def registry_behind(self) -> int | None:
        """1 while there may be newer revisions that cannot be read, else 0; None when nobody says."""
        return reading(self._registry_behind)

    @property
    def refusals(self) -> Mapping[str, int]:
        """Refused calls by reason, without the reasons that never occurred."""
        return {refusal.value: count for refusal, count in self.refused_by.items() if count}
