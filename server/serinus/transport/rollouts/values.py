"""What operators order of rollouts and splits, as read from messages and unresolved; what they are told of a server."""

import dataclasses

from serinus.config.rollout_spec import RolloutSpec
from serinus.rollout.simulation.values import Assumed


@dataclasses.dataclass(frozen=True, slots=True)
class MetricReport:
    """How a version did, as somebody outside has measured it.

    Attributes:
        model: Name.
        version: The version that answered, as its answer says.
        metric: Under which name a rollout's guardrails know it.
        values: At least one, all finite.
        report_id: Tells a report that is sent again from a new one; "" counts each time.
    """

    model: str
    version: str
    metric: str
    values: tuple[float, ...]
    report_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class SimulationOrder:
    """A plan to be played, and against what.

    Attributes:
        spec: The plan.
        rate: Calls of the model a second.
        baseline: What stable does.
        candidate: What the candidate does.
        runs: How often.
        seed: The same one gives the same outcomes.
    """

    spec: RolloutSpec
    rate: float
    baseline: Assumed
    candidate: Assumed
    runs: int
    seed: int


@dataclasses.dataclass(frozen=True, slots=True)
class ArmOrder:
    """A version that is to get a part of the calls.

    Attributes:
        selector: Which.
        weight: Of `core.traffic.WHOLE`.
    """

    selector: str
    weight: int


@dataclasses.dataclass(frozen=True, slots=True)
class RuleOrder:
    """Calls that are to go to one version whatever the weights are.

    Attributes:
        attribute: Name of what callers say of themselves.
        values: Any of them matches.
        selector: Which version answers.
    """

    attribute: str
    values: tuple[str, ...]
    selector: str


@dataclasses.dataclass(frozen=True, slots=True)
class SplitOrder:
    """How the calls of a model are to be shared out.

    Attributes:
        arms: Beside stable, which gets what they leave; together at most `core.traffic.WHOLE`.
        rules: In order.
    """

    arms: tuple[ArmOrder, ...]
    rules: tuple[RuleOrder, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Worker:
    """One process that serves.

    Attributes:
        id: Another one after each start.
        started_unix_s: When it started, in seconds since 1970.
        is_ready: Whether calls should be sent to it.
        revision: Of the registry, that it acts by.
        controls_rollouts: Whether it controls the rollouts of all servers.
        index: From 1; 0 without a supervisor.
        pid: Of the process.
        restarts: How often a process was started in this place, after the first.
        last_end: Why the one before it ended; "" for none.
    """

    id: str
    started_unix_s: float
    is_ready: bool
    revision: int
    controls_rollouts: bool
    index: int = 0
    pid: int = 0
    restarts: int = 0
    last_end: str = ""
