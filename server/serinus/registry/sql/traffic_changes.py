"""What can be changed about a model's calls, by hand or by a rollout, and what must be so for it."""

import dataclasses
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.core.errors import InvalidInput, Refused
from serinus.core.traffic import WHOLE, FallbackPolicy, Traffic, TrafficSplit
from serinus.core.version import ModelVersion
from serinus.registry.records import ModelRecord, Placement, VersionRecord
from serinus.registry.sql import tables
from serinus.registry.sql.absent import no_version
from serinus.registry.sql.fallbacks import check_policy, read_dependents
from serinus.registry.sql.rollout_reads import read_active_of
from serinus.registry.sql.traffic_documents import fallback_document, split_document, traffic_document
from serinus.registry.sql.writing import Writing

_MOST_ARMS = 64  # more than anybody compares; each is loaded
_MOST_RULES = 64  # looked at one by one for each call
_MOST_VALUES = 1000  # of a rule; a list of callers that is longer belongs into their own attribute


async def set_split(writing: Writing, record: ModelRecord, split: TrafficSplit | None) -> ModelRecord:
    """Share the calls out as `split` says; None sends all where they always went."""
    old = record.traffic.split
    if split == old:
        return record
    await check_no_rollout(writing.connection, record.name)
    if split is not None:
        check_split(split)
        check_there(record, split.versions())
        check_loadable(record, split.versions())
    return await _change(
        writing,
        record,
        "split.remove" if split is None else "split.set",
        dataclasses.replace(record.traffic, split=split),
        before={} if old is None else split_document(old),
        after={} if split is None else split_document(split),
    )


async def set_fallback(writing: Writing, record: ModelRecord, policy: FallbackPolicy | None) -> ModelRecord:
    """Let `policy` say who answers when the chosen version cannot; None lets errors be errors."""
    old = record.traffic.fallback
    if policy == old:
        return record
    if policy is not None:
        await check_policy(writing.connection, record, policy)
    return await _change(
        writing,
        record,
        "fallback.remove" if policy is None else "fallback.set",
        dataclasses.replace(record.traffic, fallback=policy),
        before={} if old is None else fallback_document(old),
        after={} if policy is None else fallback_document(policy),
    )


async def reset_breakers(writing: Writing, record: ModelRecord) -> ModelRecord:
    """Let every server forget what its circuit breakers remember of the model."""
    resets = record.traffic.breaker_resets + 1
    return await _change(
        writing,
        record,
        "breakers.reset",
        dataclasses.replace(record.traffic, breaker_resets=resets),
        before={"resets": resets - 1},
        after={"resets": resets},
    )


async def check_no_rollout(connection: AsyncConnection, model: str) -> None:
    """Return if no rollout of `model` is under way.

    Raises:
        Refused: ROLLOUT_ACTIVE, one is.
    """
    if (active := await read_active_of(connection, model)) is not None:
        raise Refused(
            f"rollout {active.id} of model {model!r} is under way: wait for its end, or end it with"
            f" 'serinus rollout abort {active.id}'",
            reason="ROLLOUT_ACTIVE",
            field="model",
        )


async def check_unused(connection: AsyncConnection, record: ModelRecord, version: VersionRecord) -> None:
    """Return if no call can be sent to `version` by what is decided about calls.

    Raises:
        Refused: IN_USE, one can.
    """
    if version.identity in record.traffic.versions():
        owner = f"rollout {record.traffic.rollout}" if record.traffic.rollout else "the split of its model"
        raise Refused(f"{version.identity} is in use: {owner} needs it", reason="IN_USE", field="version")
    if models := await read_dependents(connection, version):
        raise Refused(
            f"{version.identity} is in use: model {models[0]!r} falls back on it", reason="IN_USE", field="version"
        )


def check_split(split: TrafficSplit) -> None:
    """Return if `split` can be kept.

    Raises:
        InvalidInput: weights are no weights, a version has two, or there is too much of it.
    """
    weights = [arm.weight for arm in split.arms]
    if not 1 <= len(weights) <= _MOST_ARMS or min(weights) < 0 or sum(weights) != WHOLE:
        raise InvalidInput(
            f"invalid split: expected at most {_MOST_ARMS} weights from 0 to 100 percent that make 100 together",
            field="arms",
        )
    if len({arm.version.number for arm in split.arms}) != len(weights):
        raise InvalidInput("invalid split: expected each version once", field="arms")
    if len(split.rules) > _MOST_RULES or any(len(rule.values) > _MOST_VALUES for rule in split.rules):
        raise InvalidInput(
            f"invalid split: expected at most {_MOST_RULES} rules of at most {_MOST_VALUES} values each", field="rules"
        )


def check_there(record: ModelRecord, versions: Iterable[ModelVersion]) -> None:
    """Return if all `versions` are the model's.

    Raises:
        NotFound: one is not.
    """
    for version in versions:
        if not is_there(record, version):
            raise no_version(record, version.version_text)


def is_there(record: ModelRecord, version: ModelVersion) -> bool:
    """Whether `version` is one of the model's that is not deleted."""
    found = record.version.get(version.number)
    return found is not None and found.identity == version


def check_loadable(record: ModelRecord, versions: Iterable[ModelVersion]) -> None:
    """Return if nobody has decided that one of `versions` is not to be loaded.

    Raises:
        Refused: NOT_LOADABLE, somebody has.
    """
    for version in versions:
        if record.version[version.number].placement is Placement.UNLOADED:
            raise Refused(
                f"{version} was unloaded by hand and cannot get calls: 'serinus models load {version}' loads it",
                reason="NOT_LOADABLE",
                field="version",
            )


async def save_traffic(writing: Writing, model: str, traffic: Traffic) -> None:
    """Write the model's traffic; the write's end gives the model its new revision."""
    table = tables.models
    document = traffic_document(traffic)
    await writing.connection.execute(sa.update(table).where(table.c.name == model).values(traffic=document))


async def _change(
    writing: Writing,
    record: ModelRecord,
    action: str,
    traffic: Traffic,
    *,
    before: Mapping[str, object],
    after: Mapping[str, object],
) -> ModelRecord:
    await save_traffic(writing, record.name, traffic)
    await writing.end(action, record.name, "", before=before, after=after)
    return dataclasses.replace(record, traffic=traffic, revision=writing.revision)
