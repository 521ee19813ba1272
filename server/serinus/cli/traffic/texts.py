"""How splits and fallbacks are written on a command line: `1.1.0=5`, `cohort=beta,gamma:1.1.0`, `other@stable`."""

import json
import math
from collections.abc import Iterable

from serinus.cli.output import CommandFailed, ExitCode
from serinus.core.traffic import Trigger
from serinus_api.v1 import admin_pb2 as pb


def parse_arms(texts: Iterable[str]) -> list[pb.SplitArm]:
    """Each VERSION=PERCENT.

    Raises:
        CommandFailed: one is none, a version comes twice, or they are more than everything.
    """
    arms: list[pb.SplitArm] = []
    for text in texts:
        version, equals, number = text.partition("=")
        try:
            weight = float(number.removesuffix("%"))
        except ValueError:
            weight = math.nan
        if not (version and equals and 0 <= weight <= 100):  # noqa: PLR2004 - percent
            raise _usage(f"expected VERSION=PERCENT such as 1.1.0=5, got {text[:128]!r}")
        if version in {arm.version for arm in arms}:
            raise _usage(f"{version}: expected each version once")
        arms.append(pb.SplitArm(version=version, weight=weight))
    if (total := sum(arm.weight for arm in arms)) > 100 + 1e-9:  # what adding floats adds
        raise _usage(f"expected at most 100 percent together, got {total:g}")
    return arms


def parse_rules(texts: Iterable[str]) -> list[pb.SplitRule]:
    """Each ATTRIBUTE=VALUE[,VALUE]:VERSION, in order.

    Raises:
        CommandFailed: one is none.
    """
    rules = []
    for text in texts:
        condition, _, version = text.rpartition(":")
        attribute, _, values = condition.partition("=")
        found = [value for value in values.split(",") if value]
        if not (attribute and found and version):
            raise _usage(
                f"--rule: expected ATTRIBUTE=VALUE[,VALUE]:VERSION such as cohort=beta:1.1.0, got {text[:128]!r}"
            )
        rules.append(pb.SplitRule(attribute=attribute, values=found, version=version))
    return rules


def parse_targets(to: Iterable[str], constant: str) -> list[pb.FallbackTarget]:
    """Who is asked in place of the chosen version, in order: each VERSION or MODEL@VERSION, and a constant last.

    Raises:
        CommandFailed: the constant is no JSON object.
    """
    targets = [pb.FallbackTarget(model=text) if "@" in text else pb.FallbackTarget(version=text) for text in to]
    if constant:
        try:
            outputs = json.loads(constant)
        except (ValueError, RecursionError) as error:
            raise _usage(f"--constant: expected JSON such as '{{\"y\": [0]}}': {error}") from error
        if not isinstance(outputs, dict):
            raise _usage(f"--constant: expected an object with the values of one row by output, got {constant[:64]!r}")
        targets.append(pb.FallbackTarget(constant_json=constant))
    return targets


def parse_triggers(text: str) -> list[str]:
    """The names between commas; [] for all.

    Raises:
        CommandFailed: one is no trigger.
    """
    triggers = [name for name in text.split(",") if name]
    if unknown := [name for name in triggers if name not in set(Trigger)]:
        raise _usage(f"--on: expected some of {', '.join(Trigger)}, got {unknown[0][:64]!r}")
    return triggers


def _usage(sentence: str) -> CommandFailed:
    return CommandFailed(sentence, code=ExitCode.USAGE)
