"""A rollout as a value: where it stands, what can happen to it, and what is in force while it stands there."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from serinus.config.rollout_spec import RolloutSpec, Stage
from serinus.core.traffic import TrafficSplit
from serinus.core.version import ModelVersion


class Status(enum.StrEnum):
    """PREPARING → RUNNING ⇄ PAUSED, WAITING; these three → SUCCEEDED; all four → FAILING → ROLLED_BACK, or → ABORTED.

    PREPARING: the candidate is loaded everywhere. RUNNING: a stage is judged. PAUSED: a person stopped the clock; the
    weights stay. WAITING: a person must decide, at once where a plan begins with an approval. FAILING: the weight is 0,
    not every server is known to have heard. SUCCEEDED, ROLLED_BACK and ABORTED are the ends.
    """

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    FAILING = "failing"
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"


ENDS: Final = frozenset({Status.SUCCEEDED, Status.ROLLED_BACK, Status.ABORTED})
"""Where nothing happens any more."""
WITHOUT_CALLS: Final = frozenset({Status.FAILING, Status.ROLLED_BACK, Status.ABORTED})
"""Where the candidate gets no call, and never will again in this rollout."""


@dataclasses.dataclass(frozen=True)
class Rollout:
    """One rollout, at one moment. All times are seconds since 1970.

    Attributes:
        id: Unique.
        spec: What its operator said.
        baseline: What was stable when it started.
        candidates: The version that is to become stable; for an A/B test its arms beside stable, in their order.
        salt: Of its splits.
        slow_s: A call that takes longer is slow; None while nobody knows.
        status: Where it stands.
        stage: Index in `spec.stages` of the stage that it is in.
        segment: Raised whenever the split or a limit changes; what is counted belongs to one.
        stage_at: When the stage began; a pause moves it on by as long as it lasted.
        paused_at: When it was paused, or began to wait for a person; 0.0 otherwise.
        failed_at: When it began to fail; 0.0 before.
        lost_servers: Servers that died while they had the candidate loaded, or loaded it.
        chosen: Number of the version that it made stable, even if it has taken that back since; 0 if none was.
        reason: Why it stands there, a sentence.
        started_at: When.
        started_by: Who.
        ended_at: When it ended; 0.0 before.
    """

    id: str
    spec: RolloutSpec
    baseline: ModelVersion
    candidates: tuple[ModelVersion, ...]
    salt: str
    started_at: float
    started_by: str
    slow_s: float | None = None
    status: Status = Status.PREPARING
    stage: int = 0
    segment: int = 0
    stage_at: float = 0.0
    paused_at: float = 0.0
    failed_at: float = 0.0
    lost_servers: int = 0
    chosen: int = 0
    reason: str = ""
    ended_at: float = 0.0

    @property
    def model(self) -> str:
        """Whose calls it moves."""
        return self.baseline.model

    @property
    def current(self) -> Stage:
        """The stage that it is in."""
        return self.spec.stages[self.stage]

    @property
    def has_ended(self) -> bool:
        """Whether nothing happens to it any more."""
        return self.status in ENDS


class Outcome(enum.StrEnum):
    """What the judge says: of one check, or of all together. Absence of failure is not a pass."""

    PASS = "pass"  # noqa: S105 - a word, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One guardrail's part of a verdict.

    Attributes:
        name: "errors", "latency", "invalid", "disagreement", "consecutive", a metric's name, or "interval" for where an
            arm of an A/B test lies.
        version: Number of the candidate it is about.
        outcome: What it says.
        e_value: Evidence against the candidate; FAIL when it reaches `limit`. 1.0 for none.
        limit: 1 / alpha of this check.
        candidate: The candidate's rate, or a metric's mean; None without data.
        baseline: Stable's; None without data.
        bound: Upper bound of what must be small to pass (an odds ratio, a rate, a difference); None without data.
        bound_limit: What `bound` must not exceed.
        count: Calls, pairs or reports of the candidate that it rests on.
        sentence: All of it for a person.
    """

    name: str
    version: int
    outcome: Outcome
    e_value: float
    limit: float
    candidate: float | None
    baseline: float | None
    bound: float | None
    bound_limit: float | None
    count: int
    sentence: str


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge says of a stage at one moment.

    Attributes:
        outcome: FAIL if any check fails; PASS if all pass and the stage's minima are reached; else INCONCLUSIVE.
        reason: In a sentence.
        checks: In the order of the guardrails.
        winner: For an A/B test, number of the version that is better than all others beyond doubt; 0 for none.
    """

    outcome: Outcome
    reason: str
    checks: tuple[Check, ...] = ()
    winner: int = 0


# What can happen to a rollout. `at` is in seconds since 1970; `by` is who.


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """Every server can serve all versions of it."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """A version of it cannot be loaded, or is gone; `reason` is a sentence."""

    at: float
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """Now it is known what counts as slow."""

    at: float
    slow_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """The judge has looked."""

    at: float
    verdict: Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class ServerLost:
    """A server died without saying goodbye."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Followed:
    """Every server that lives acts by the rollout as it stands."""

    at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """A person stops the clock."""

    at: float
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class Resume:
    """A person lets it go on."""

    at: float
    by: str


@dataclasses.dataclass(frozen=True, slots=True)
class Promote:
    """A person moves it on: past an approval, or to the next stage if `verdict` is a pass.

    Attributes:
        verdict: The last one.
        version: Number of the version to make stable; 0 for the only candidate. An A/B test needs one.
    """

    at: float
    by: str
    verdict: Verdict | None = None
    version: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class ForcePromote:
    """A person makes a version stable at once, whatever the judge says."""

    at: float
    by: str
    version: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Abort:
    """A person takes the candidate out; `reason` is theirs."""

    at: float
    by: str
    reason: str = ""


Event = Prepared | Broken | Measured | Judged | ServerLost | Followed | Pause | Resume | Promote | ForcePromote | Abort


@dataclasses.dataclass(frozen=True, slots=True)
class Effects:
    """What is in force while a rollout stands where it stands: a function of it alone, so that replaying does no harm.

    Attributes:
        split: Of its model.
        kept: Versions that stay loaded besides those of the split.
        stable: What the alias `stable` is to name; None leaves it alone.
        owns: Whether the model's split is the rollout's: nobody else may set it.
    """

    split: TrafficSplit | None
    kept: tuple[ModelVersion, ...] = ()
    stable: ModelVersion | None = None
    owns: bool = True


Numbers = Mapping[str, object]
"""Evidence as JSON, for the journal."""
