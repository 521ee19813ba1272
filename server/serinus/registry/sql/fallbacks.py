"""Whether the fallbacks of a model can stand in for it, among all models that are registered."""

import math
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import InvalidInput, NotFound
from serinus.core.traffic import MOST_TARGETS, Constant, FallbackPolicy, OtherVersion
from serinus.registry.records import ChangeLevel, ModelRecord, Placement, VersionRecord
from serinus.registry.sql import tables
from serinus.registry.sql.absent import no_model
from serinus.registry.sql.reads import read_model
from serinus.registry.sql.traffic_documents import fallback_of
from serinus.registry.sql.writing import selected
from serinus.registry.versioning.compatibility import change_between, listed
from serinus.registry.versioning.constants import constant_problem

_LONGEST_ATTEMPT_S = 3600.0  # no call may take longer


async def check_policy(connection: AsyncConnection, record: ModelRecord, policy: FallbackPolicy) -> None:
    """Return if each target of `policy` can answer what callers of the model send, as they expect it.

    Raises:
        InvalidInput: INVALID_FALLBACK, one cannot, or the policy cannot be meant; it says which.
    """
    promised = record.select("")
    if promised is None:
        raise _invalid(f"model {record.name!r} has no version that its calls go to")
    _check_numbers(policy, promised)
    for target in policy.targets:
        match target:
            case OtherVersion():
                await _check_other(connection, record, promised, target)
            case Constant():
                if problem := constant_problem(target, promised.examination.signature):
                    raise _invalid(f"the constant answer does not fit {promised.identity}: {problem}")
    policies = {**await read_policies(connection), record.name: policy}
    if circle := _circle(record.name, policies):
        raise _invalid(f"fallback {circle[1]!r} leads back to the model: {' -> '.join(circle)}")


async def read_policies(connection: AsyncConnection) -> Mapping[str, FallbackPolicy]:
    """The fallbacks of all models, by name; those that cannot be read are left out."""
    models = tables.models
    # No JSON is compared: PostgreSQL cannot.
    has_any = sa.cast(models.c.traffic, sa.Text) != "{}"
    policies = {}
    for row in await connection.execute(sa.select(models.c.name, models.c.traffic).where(has_any)):
        try:
            document = row.traffic["fallback"]
            if document is not None:
                policies[row.name] = fallback_of(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # the model serves without it, and the log says so when the model is read
    return policies


async def read_dependents(connection: AsyncConnection, version: VersionRecord) -> Sequence[str]:
    """The models that fall back on this very version, by name."""
    identity = version.identity
    names = {identity.version_text, identity.number_text}
    return sorted(
        model
        for model, policy in (await read_policies(connection)).items()
        for target in policy.targets
        if isinstance(target, OtherVersion) and target.model == identity.model and target.selector in names
    )


def _check_numbers(policy: FallbackPolicy, promised: VersionRecord) -> None:
    if not 1 <= len(policy.targets) <= MOST_TARGETS:
        raise _invalid(f"expected 1 to {MOST_TARGETS} fallbacks, got {len(policy.targets)}")
    if not policy.triggers:
        raise _invalid("expected a trigger: nothing else lets a fallback answer")
    if policy.attempt_timeout_s is not None and not 0 < policy.attempt_timeout_s <= _LONGEST_ATTEMPT_S:
        raise _invalid(f"attempt_timeout_s: expected more than 0 and at most {_LONGEST_ATTEMPT_S:g}")
    if not 0 < policy.budget <= 1:
        raise _invalid("budget: expected a share of the calls, more than 0 and at most 1")
    for name, (lowest, highest) in policy.ranges.items():
        if name not in promised.examination.signature.output:
            raise _invalid(f"ranges: {promised.identity} has no output {name[:64]!r}")
        if math.isnan(lowest) or math.isnan(highest) or lowest > highest:
            raise _invalid(f"ranges: expected the lowest value of {name[:64]!r} before the highest")


async def _check_other(
    connection: AsyncConnection, record: ModelRecord, promised: VersionRecord, target: OtherVersion
) -> None:
    written = f"{target.model}@{target.selector}" if target.selector else target.model
    named = f"fallback {written[:200]!r}"
    if target.model == record.name and not target.selector:
        raise _invalid(f"{named} is the model itself: expected another model, or one of its versions")
    other = record if target.model == record.name else await read_model(connection, target.model)
    try:
        if other is None:
            raise no_model(target.model)
        found = selected(other, target.selector)
    except (NotFound, InvalidInput) as error:
        raise _invalid(f"{named}: {error.message}") from error
    if found.placement is Placement.UNLOADED:
        raise _invalid(f"{named} was unloaded by hand: 'serinus models load {found.identity}' loads it")
    change = change_between(promised.examination.signature, found.examination.signature)
    if change.level is ChangeLevel.MAJOR:
        raise _invalid(f"{named} cannot stand in for {promised.identity}: {listed(change.differences)}")


def _circle(model: str, policies: Mapping[str, FallbackPolicy]) -> Sequence[str]:
    """A way along fallbacks from `model` back to it, by the models that it passes; () if there is none."""
    ways: list[tuple[str, ...]] = [(model,)]
    seen = {model}
    while ways:
        way = ways.pop()
        for other in _others(way[-1], policies.get(way[-1])):
            if other == model:
                return (*way, other)
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()


def _others(model: str, policy: FallbackPolicy | None) -> Sequence[str]:
    targets = () if policy is None else policy.targets
    return [each.model for each in targets if isinstance(each, OtherVersion) and each.model != model]


def _invalid(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, reason="INVALID_FALLBACK", field="fallback")
