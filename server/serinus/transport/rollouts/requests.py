"""What operators may say about rollouts: messages into values, each text and number within its bounds."""

from collections.abc import Mapping
from typing import Protocol

from serinus.config.errors import ConfigError
from serinus.config.rollout_spec import RolloutSpec, parse_rollout_spec
from serinus.core.errors import InvalidInput
from serinus.core.version import check_model_name
from serinus.rollout.simulation.values import MOST_RUNS, Assumed
from serinus.threads import to_thread
from serinus.transport.registry.requests import check_count, finite, out_of_range
from serinus.transport.rollouts.values import MetricReport, SimulationOrder
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import admin_pb2 as pb

_LONGEST_ID_BYTES = 128
_LONGEST_REASON_BYTES = 1024  # two sentences, for the journal
_LONGEST_METRIC_BYTES = 64
_MOST_VALUES = 10_000  # of one report: a minute of a busy site
_MOST_METRICS = 32  # of one plan
_USUAL_RUNS = 200  # shows a probability to a few percent
_HIGHEST_RATE = 1e6  # calls a second; no model gets more


class _Named(Protocol):
    """A message that means a rollout, or the newest of a model."""

    @property
    def id(self) -> str: ...
    @property
    def model(self) -> str: ...


def rollout_id(text: str) -> str:
    """The id of a rollout.

    Raises:
        InvalidInput: no rollout has such an id.
    """
    if not text:
        raise InvalidInput("id: expected the id of a rollout, got none", reason="MISSING_NAME", field="id")
    check_text("id", text, longest_bytes=_LONGEST_ID_BYTES, field="id")
    return text


def id_or_model(asked: _Named) -> tuple[str, str]:
    """The id of a rollout and "", or "" and the model whose newest is meant.

    Raises:
        InvalidInput: neither is named, or nothing can have such a name.
    """
    if asked.id or not asked.model:
        return rollout_id(asked.id), ""
    return "", check_model_name(asked.model)


def reason_of(asked: pb.AbortRolloutRequest) -> str:
    """Why somebody takes a candidate out, for the journal.

    Raises:
        InvalidInput: no such text is kept.
    """
    check_text("reason", asked.reason, longest_bytes=_LONGEST_REASON_BYTES, field="reason")
    return asked.reason


def winner_of(asked: pb.PromoteRolloutRequest) -> str:
    """Selector of the version that is to be stable, or "".

    Raises:
        InvalidInput: no version can be meant by such a text.
    """
    check_text("version", asked.version, field="version")
    return asked.version


async def spec_of(spec_yaml: str) -> RolloutSpec:
    """A plan, read on a thread: YAML takes milliseconds.

    Raises:
        InvalidInput: it is none; the message lists what is wrong with it, and the field is the key of the first.
    """
    try:
        return await to_thread(parse_rollout_spec, spec_yaml)
    except ConfigError as error:
        key = error.problems[0].partition(":")[0]
        # What is wrong with all of it begins with words.
        field = "spec_yaml" if " " in key else key
        raise InvalidInput("; ".join(error.problems), reason="INVALID_SPEC", field=field) from error


def report_of(asked: pb.ReportMetricRequest) -> MetricReport:
    """What was measured outside.

    Raises:
        InvalidInput: a name or number that no report has, or too many of them.
    """
    for field, text, longest_bytes in (
        ("version", asked.version, _LONGEST_ID_BYTES),
        ("metric", asked.metric, _LONGEST_METRIC_BYTES),
    ):
        if not text:
            raise InvalidInput(f"{field}: expected a name, got none", reason="MISSING_NAME", field=field)
        check_text(field, text, longest_bytes=longest_bytes, field=field)
    check_text("report_id", asked.report_id, longest_bytes=_LONGEST_ID_BYTES, field="report_id")
    check_count("values", len(asked.values), _MOST_VALUES)
    if not asked.values:
        raise InvalidInput("values: expected at least one, got none", reason="MISSING_VALUES", field="values")
    return MetricReport(
        model=check_model_name(asked.model),
        version=asked.version,
        metric=asked.metric,
        values=tuple(finite("values", value) for value in asked.values),
        report_id=asked.report_id,
    )


async def simulation_of(asked: pb.SimulateRolloutRequest) -> SimulationOrder:
    """What to play.

    Raises:
        InvalidInput: the plan is none, or a number that cannot be assumed.
    """
    if not 0 < asked.rate <= _HIGHEST_RATE:
        raise out_of_range("rate", f"more than 0 and at most {_HIGHEST_RATE:g}", asked.rate)
    if asked.runs > MOST_RUNS:
        raise out_of_range("runs", f"at most {MOST_RUNS}", asked.runs)
    return SimulationOrder(
        baseline=_assumed("baseline", asked.baseline),
        candidate=_assumed("candidate", asked.candidate),
        spec=await spec_of(asked.spec_yaml),
        rate=asked.rate,
        runs=asked.runs or _USUAL_RUNS,
        seed=asked.seed,
    )


def _assumed(field: str, asked: pb.RolloutAssumption) -> Assumed:
    rates = {name: getattr(asked, name) for name in _RATES}
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise out_of_range(f"{field}.{name}", "0 to 1", rate)
    return Assumed(**rates, metric_means=_means(f"{field}.metric_means", asked.metric_means))


_RATES = ("error_rate", "slow_rate", "invalid_rate", "disagreement_rate")


def _means(field: str, asked: Mapping[str, float]) -> Mapping[str, float]:
    check_count(field, len(asked), _MOST_METRICS)
    for name, mean in asked.items():
        check_text(f"{field}: name", name, longest_bytes=_LONGEST_METRIC_BYTES, field=field)
        finite(field, mean)
    return dict(asked)
