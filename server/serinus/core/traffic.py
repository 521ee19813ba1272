"""How the calls of one model are shared out among its versions, and who answers when the chosen one cannot.

Values that `rollout` decides on, `registry` keeps, and `serving` acts by; nothing here changes once it is made.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from serinus.core.version import ModelVersion

WHOLE: Final = 10_000
"""All calls of a model; weights count hundredths of a percent."""


@dataclasses.dataclass(frozen=True, slots=True)
class Arm:
    """One version's part of the calls.

    Attributes:
        version: Which.
        weight: Of `WHOLE`.
    """

    version: ModelVersion
    weight: int


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """Calls that go to one version whatever the weights are.

    Attributes:
        attribute: Name of what the caller says of itself, such as `cohort`.
        values: Any of them matches.
        version: Who answers.
    """

    attribute: str
    values: frozenset[str]
    version: ModelVersion


class Measure(enum.StrEnum):
    """How two float outputs are compared. What is no float must be the same, always.

    VALUES: |candidate - baseline| <= absolute + relative * |baseline|, everywhere. COSINE: of each row. CLASS: the
    largest element of each row is at the same place.
    """

    VALUES = "values"
    COSINE = "cosine"
    CLASS = "class"


@dataclasses.dataclass(frozen=True, slots=True)
class Likeness:
    """When two answers to the same call count as the same."""

    measure: Measure = Measure.VALUES
    absolute: float = 1e-3
    relative: float = 1e-2
    cosine: float = 0.999


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorPlan:
    """Which calls are copied to a version whose answers nobody gets.

    Attributes:
        version: Gets the copies.
        share: Of `WHOLE`, of the calls that the baseline answers.
        likeness: When its answer counts as the same.
        timeout_s: Longest wait for it.
    """

    version: ModelVersion
    share: int
    likeness: Likeness = Likeness()
    timeout_s: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What is counted about the arms of a split while it is judged.

    Attributes:
        rollout: Who judges; the id of a rollout.
        segment: 0, 1, 2 and so on; counts of one belong together: the split and the limits did not change in it.
        slow_s: A call that takes longer is slow; None while nobody knows.
        skip_first: So many calls of each arm that is new to a server are not counted: it warms up.
        ranges: Lowest and highest value allowed, by output; others are only expected to be finite.
    """

    rollout: str
    segment: int
    slow_s: float | None = None
    skip_first: int = 0
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class TrafficSplit:
    """Who answers the calls of a model that name no version.

    Attributes:
        salt: Makes the buckets of two splits independent.
        arms: Each version once, weights sum to `WHOLE`. The last one is the baseline. A key whose bucket is below the
            first weight belongs to the first arm, and so on, so that raising the first weight moves no key back.
        rules: Looked at before the weights, in order.
        mirror: Who gets copies, or None.
        observation: What is counted, or None.
        rescue: Whether the baseline answers what another arm cannot.
    """

    salt: str
    arms: tuple[Arm, ...]
    rules: tuple[Rule, ...] = ()
    mirror: MirrorPlan | None = None
    observation: Observation | None = None
    rescue: bool = True

    def __post_init__(self) -> None:
        assert self.arms, "a split has a baseline: this is a bug"
        assert sum(arm.weight for arm in self.arms) == WHOLE, f"{self.arms}: expected {WHOLE} in all: this is a bug"

    @property
    def baseline(self) -> ModelVersion:
        """Who answers what no other arm gets."""
        return self.arms[-1].version

    def versions(self) -> tuple[ModelVersion, ...]:
        """All that it sends calls to, each once."""
        mirrored = (self.mirror.version,) if self.mirror else ()
        named = (*(arm.version for arm in self.arms), *(rule.version for rule in self.rules), *mirrored)
        return tuple({version.number: version for version in named}.values())


class Trigger(enum.StrEnum):
    """Why another answers.

    ERROR: the chosen version failed. TIMEOUT: it could not answer in time. OVERLOAD: it had no room. INVALID: it
    answered what cannot be meant: NaN, infinities, values out of range. BREAKER: it was taken out after failing
    repeatedly.
    """

    ERROR = "error"
    TIMEOUT = "timeout"
    OVERLOAD = "overload"
    INVALID = "invalid"
    BREAKER = "breaker"


@dataclasses.dataclass(frozen=True, slots=True)
class OtherVersion:
    """A fallback that is a version, of the same model or of another one.

    Attributes:
        model: Its model.
        selector: Which version, as a caller would say it.
    """

    model: str
    selector: str


@dataclasses.dataclass(frozen=True, slots=True)
class Constant:
    """A fallback that is always the same answer.

    Attributes:
        outputs: Values of one row by output, JSON: nested lists without the batch axis; repeated for each row.
    """

    outputs: Mapping[str, object]


@dataclasses.dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """Who answers when the chosen version of a model cannot.

    Attributes:
        targets: Tried in order, at most `MOST_TARGETS`; their own fallbacks are not tried.
        triggers: What counts as not being able to.
        attempt_timeout_s: What the chosen version may take before it counts as too late; None leaves it all the time
            that the caller has.
        budget: At most this share of the calls may be sent to a version as a fallback, a few a second apart, so that it
            cannot be flooded. A constant cannot be, and is not counted.
        ranges: Lowest and highest value allowed, by output.
    """

    targets: tuple[OtherVersion | Constant, ...]
    triggers: frozenset[Trigger] = frozenset(Trigger)
    attempt_timeout_s: float | None = None
    budget: float = 0.1
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


MOST_TARGETS: Final = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that is decided about the calls of one model. Equal ones do the same.

    Attributes:
        split: None sends all calls where they always went: to `stable`, or else the highest version.
        fallback: None lets errors be errors.
        rollout: Id of the rollout that is under way and owns the split; "" if there is none.
        kept: Versions to keep loaded besides those of the split, so that one can go back to them at once.
        breaker_resets: Raised to let every server forget what its circuit breakers remember.
    """

    split: TrafficSplit | None = None
    fallback: FallbackPolicy | None = None
    rollout: str = ""
    kept: tuple[ModelVersion, ...] = ()
    breaker_resets: int = 0

    def versions(self) -> tuple[ModelVersion, ...]:
        """The versions of this model that must be loaded for it."""
        named = (*(self.split.versions() if self.split else ()), *self.kept)
        return tuple({version.number: version for version in named}.values())


NO_TRAFFIC: Final = Traffic()
"""Nothing was decided."""
