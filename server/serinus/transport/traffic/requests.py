"""What operators may say about splits and fallbacks: messages into values, each text and number within its bounds."""

import json
import math
from collections.abc import Mapping
from typing import Final

from serinus.config.rollout_spec import weight_of
from serinus.core.errors import InvalidInput
from serinus.core.traffic import MOST_TARGETS, WHOLE, Constant, FallbackPolicy, OtherVersion, Trigger
from serinus.core.version import check_model_name
from serinus.transport.attributes import check_attribute
from serinus.transport.registry.requests import check_count, finite, out_of_range
from serinus.transport.rollouts.values import ArmOrder, RuleOrder, SplitOrder
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import admin_pb2 as pb

_MOST_ARMS: Final = 15  # beside stable
_MOST_RULES: Final = 64  # each call may look at all of them
_MOST_RULE_VALUES: Final = 1000
_MOST_RANGES: Final = 64
_LONGEST_CONSTANT_BYTES: Final = 1 << 16  # of one row; kept in the registry, and in the memory of every server
_LONGEST_ATTEMPT_S: Final = 3600.0
_USUAL_BUDGET: Final = FallbackPolicy(()).budget


def split_of(asked: pb.SetSplitRequest) -> SplitOrder | None:
    """How calls are to be shared out; None for not at all.

    Raises:
        InvalidInput: weights, names or values that cannot be meant, or too many of them.
    """
    check_count("arms", len(asked.arms), _MOST_ARMS)
    check_count("rules", len(asked.rules), _MOST_RULES)
    if not asked.arms and not asked.rules:
        return None
    arms = tuple(_arm(arm) for arm in asked.arms)
    if (total := sum(arm.weight for arm in arms)) > WHOLE:
        raise out_of_range("arms", "weights of at most 100 percent together", total * 100 / WHOLE)
    if len({arm.selector for arm in arms}) != len(arms):
        raise InvalidInput("arms: expected each version once", reason="DUPLICATE_VERSION", field="arms")
    return SplitOrder(arms, tuple(_rule(rule) for rule in asked.rules))


def _arm(asked: pb.SplitArm) -> ArmOrder:
    if not 0 <= asked.weight <= 100:  # noqa: PLR2004 - percent
        raise out_of_range("arms.weight", "0 to 100 percent", asked.weight)
    weight = weight_of(asked.weight)
    if not math.isclose(weight * 100 / WHOLE, asked.weight, abs_tol=1e-9):
        raise out_of_range("arms.weight", "steps of 0.01 percent", asked.weight)
    return ArmOrder(_selector("arms.version", asked.version), weight)


def _rule(asked: pb.SplitRule) -> RuleOrder:
    check_count("rules.values", len(asked.values), _MOST_RULE_VALUES)
    if not asked.values:
        raise InvalidInput("rules.values: expected at least one", reason="MISSING_VALUES", field="rules.values")
    for value in asked.values:
        check_attribute("rules.attribute", asked.attribute, value)
    return RuleOrder(asked.attribute, tuple(asked.values), _selector("rules.version", asked.version))


def _selector(field: str, selector: str) -> str:
    if not selector:
        raise InvalidInput(f"{field}: expected a version, got none", reason="MISSING_NAME", field=field)
    check_text(field, selector, field=field)
    return selector


def policy_of(model: str, asked: pb.Fallback) -> FallbackPolicy | None:
    """Who answers for `model` when the chosen version cannot; None for nobody.

    Whether those could, is looked at by whoever keeps it.

    Raises:
        InvalidInput: a name, number or constant that cannot be meant, or too many of them.
    """
    if not asked.targets:
        return None
    check_count("targets", len(asked.targets), MOST_TARGETS)
    check_count("triggers", len(asked.triggers), len(Trigger))
    if not 0 <= asked.attempt_timeout_s <= _LONGEST_ATTEMPT_S:
        raise out_of_range("attempt_timeout_s", f"0 to {_LONGEST_ATTEMPT_S:g}", asked.attempt_timeout_s)
    if not 0 <= asked.budget <= 1:
        raise out_of_range("budget", "0 to 1", asked.budget)
    return FallbackPolicy(
        targets=tuple(_target(model, target) for target in asked.targets),
        triggers=frozenset(_trigger(trigger) for trigger in asked.triggers) or frozenset(Trigger),
        attempt_timeout_s=asked.attempt_timeout_s or None,
        budget=asked.budget or _USUAL_BUDGET,
        ranges=_ranges(asked.ranges),
    )


def _trigger(text: str) -> Trigger:
    try:
        return Trigger(text)
    except ValueError as error:
        raise InvalidInput(
            f"triggers: expected some of {', '.join(Trigger)}, got {text[:64]!r}",
            reason="UNKNOWN_TRIGGER",
            field="triggers",
        ) from error


def _ranges(asked: Mapping[str, pb.OutputRange]) -> Mapping[str, tuple[float, float]]:
    check_count("ranges", len(asked), _MOST_RANGES)
    found = {}
    for output, limits in asked.items():
        check_text("ranges: output", output, field="ranges")
        lowest, highest = finite("ranges", limits.lowest), finite("ranges", limits.highest)
        if lowest > highest:
            raise out_of_range("ranges", f"a highest value of at least {lowest:g}", highest)
        found[output] = (lowest, highest)
    return found


def _target(model: str, asked: pb.FallbackTarget) -> OtherVersion | Constant:
    match asked.WhichOneof("target"):
        case "version":
            return OtherVersion(model, _selector("targets.version", asked.version))
        case "model":
            other, _, selector = asked.model.partition("@")
            check_text("targets.model", selector, field="targets.model")
            return OtherVersion(check_model_name(other), selector)
        case "constant_json":
            return Constant(_constant(asked.constant_json))
        case _:
            raise InvalidInput(
                "targets: expected a version, a model or a constant", reason="MISSING_TARGET", field="targets"
            )


def _constant(text: str) -> Mapping[str, object]:
    field = "targets.constant_json"
    if (size_bytes := len(text.encode())) > _LONGEST_CONSTANT_BYTES:
        raise InvalidInput(
            f"{field}: expected at most {_LONGEST_CONSTANT_BYTES} bytes, got {size_bytes}",
            reason="TEXT_TOO_LONG",
            field=field,
        )
    try:
        outputs = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{field}: expected JSON", reason="MALFORMED_JSON", field=field) from error
    if not isinstance(outputs, dict) or not outputs:
        raise InvalidInput(
            f"{field}: expected an object with the values of one row by output", reason="MALFORMED_JSON", field=field
        )
    return outputs


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")
