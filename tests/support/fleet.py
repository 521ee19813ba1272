"""Servers that count calls for a rollout, on a clock that a test turns; and all else that a controller needs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from serinus.core.traffic import WHOLE
from serinus.core.version import ModelVersion
from serinus.core.windows import ArmWindow, PairWindow, ServerWindow
from serinus.rollout.control.controller import Controller
from serinus.rollout.judging.judge import judge
from serinus.rollout.judging.judgement import Judge
from serinus.rollout.machine.effects import effects
from serinus.telemetry.histogram import Histogram
from tests.support.fake_journal import FakeJournal
from tests.support.rollouts import BASELINE, CANDIDATE

FAST_S = 0.01


@dataclasses.dataclass
class Manners:
    """What becomes of a version's calls: shares of them.

    Attributes:
        errors: It fails.
        slow: It takes longer than the limit.
        invalid: It answers with what cannot be meant.
        disagreements: Of copies, it answers differently.
    """

    errors: float = 0.0
    slow: float = 0.0
    invalid: float = 0.0
    disagreements: float = 0.0


class FakeServer:
    """A server that follows a rollout, and shares its calls out evenly to the call.

    Attributes:
        manners: By number of the version.
        rate: Calls a second.
        failures: Why a version cannot be loaded, by number.
        ready: Numbers of the versions that are loaded.
        is_deaf: It does not hear of what is written.
        beat: How often it has published.
    """

    def __init__(self, journal: FakeJournal, name: str = "s1", *, rate: float = 1000.0) -> None:
        self.name = name
        self.rate = rate
        self.manners: dict[int, Manners] = {}
        self.failures: dict[int, str] = {}
        self.ready = {BASELINE.number, CANDIDATE.number}
        self.is_deaf = False
        self.beat = 0
        self.halted: frozenset[int] = frozenset()
        self._journal = journal
        self._stored = journal._stored("r")
        self._segment = -1
        self._counts: dict[int, ArmWindow] = {}
        self._pairs = PairWindow()
        self._owed: dict[tuple[int, str], float] = {}

    def tick(self, seconds: float = 1.0) -> None:
        """Hear what is written, serve for a while, publish."""
        if not self.is_deaf and (now := self._journal._stored("r")) != self._stored:
            self._stored, self.halted = now, frozenset()
        split = effects(self._stored.rollout).split
        if split is None or split.observation is None:
            return
        if split.observation.segment != self._segment:
            self._segment, self._counts, self._pairs = split.observation.segment, {}, PairWindow()
        weights = {arm.version.number: arm.weight / WHOLE for arm in split.arms}
        halted = sum(weights.pop(number, 0.0) for number in self.halted)
        weights[split.baseline.number] += halted
        for number, weight in weights.items():
            self._serve(number, self.rate * weight * seconds)
        if split.mirror is not None:
            self._mirror(split.mirror.version.number, self.rate * seconds * split.mirror.share / WHOLE)
        self.publish()

    def publish(self, *, has_left: bool = False) -> None:
        """Say what was counted so far."""
        self.beat += 1
        self._journal.publish(
            ServerWindow(
                "r",
                self.name,
                beat=self.beat,
                segment=self._segment,
                revision=self._stored.revision,
                ready=frozenset(self.ready),
                failures=dict(self.failures),
                arms=dict(self._counts),
                pairs=self._pairs,
                has_left=has_left,
            )
        )

    def _serve(self, number: int, calls: float) -> None:
        manners = self.manners.get(number, Manners())
        before = self._counts.get(number, ArmWindow(latency=(0,) * len(Histogram().counts)))
        exposures = self._whole(number, "calls", calls)
        errors = self._whole(number, "errors", exposures * manners.errors)
        latency = Histogram()
        latency.observe(FAST_S)
        self._counts[number] = ArmWindow(
            exposures=before.exposures + exposures,
            errors=before.errors + errors,
            slow=before.slow + self._whole(number, "slow", exposures * manners.slow),
            invalid=before.invalid + self._whole(number, "invalid", exposures * manners.invalid),
            run=0 if exposures > errors else before.run + errors,
            latency=tuple(old + exposures * new for old, new in zip(before.latency, latency.counts, strict=True)),
        )

    def _mirror(self, number: int, copies: float) -> None:
        manners = self.manners.get(number, Manners())
        pairs = self._whole(number, "pairs", copies)
        self._pairs = dataclasses.replace(
            self._pairs,
            pairs=self._pairs.pairs + pairs,
            disagreements=self._pairs.disagreements
            + self._whole(number, "disagreements", pairs * manners.disagreements),
        )

    def _whole(self, number: int, what: str, amount: float) -> int:
        """`amount` in whole calls; what is left is owed to the next time."""
        owed = self._owed.get((number, what), 0.0) + amount
        self._owed[number, what] = owed % 1
        return int(owed)


class FakeHalts:
    """Notes what is halted, among the steps of the journal; and lets servers act by it."""

    def __init__(self, journal: FakeJournal, *servers: FakeServer) -> None:
        self._journal = journal
        self._servers = servers
        self.halted: list[tuple[str, tuple[ModelVersion, ...]]] = []

    def halt(self, model: str, versions: Sequence[ModelVersion]) -> None:
        """Send none of them a call."""
        self._journal.steps.append("halt")
        self.halted.append((model, tuple(versions)))
        for server in self._servers:
            server.halted |= {version.number for version in versions}


class FakeMetrics:
    """Notes what was decided.

    Attributes:
        decisions: Model, event and status of each.
        evidence: The last e-values by model.
    """

    def __init__(self) -> None:
        self.decisions: list[tuple[str, str, str]] = []
        self.evidence: dict[str, Mapping[str, float]] = {}

    def decided(self, model: str, event: str, status: str) -> None:
        """Something happened."""
        self.decisions.append((model, event, status))

    def judged(self, model: str, e_values: Mapping[str, float]) -> None:
        """The judge has looked."""
        self.evidence[model] = e_values


class Fleet:
    """One journal, servers, and a clock that stands still until somebody turns it.

    Attributes:
        now: Seconds since 1970, and monotonic ones.
        lost_after_s: Who has said nothing new for so long is taken for dead.
        servers: By name.
    """

    def __init__(
        self, journal: FakeJournal, *, servers: int = 1, rate: float = 1000.0, lost_after_s: float = 10.0
    ) -> None:
        self.journal = journal
        self.lost_after_s = lost_after_s
        self.now = 0.0
        self.metrics = FakeMetrics()
        self.servers = [FakeServer(journal, f"s{number + 1}", rate=rate) for number in range(servers)]
        self.halts = FakeHalts(journal, self.servers[0])

    def behave(self, version: ModelVersion, manners: Manners) -> None:
        """Let a version behave so on every server."""
        for server in self.servers:
            server.manners[version.number] = manners

    def controller(
        self,
        server: str = "s1",
        *,
        asked: Judge = judge,
        has_active: Callable[[], bool] = lambda: True,
    ) -> Controller:
        """A fresh one, on that server."""
        return Controller(
            self.journal,
            self.halts,
            server=server,
            clock=lambda: self.now,
            monotonic=lambda: self.now,
            metrics=self.metrics,
            interval_s=1.0,
            lost_after_s=self.lost_after_s,
            has_active=has_active,
            judge=asked,
        )

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and all servers serve."""
        self.now += seconds
        for server in self.servers:
            server.tick(seconds)

    async def play(self, controller: Controller, looks: int, *, until: Callable[[], bool] = lambda: False) -> int:
        """Let the controller look once a second; how often it did before `until` was so."""
        for look in range(looks):
            if until():
                return look
            self.tick()
            await controller.look()
        return looks
