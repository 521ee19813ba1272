"""What people decide about a model's calls, and what cannot be decided."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from serinus.core.dtypes import DType
from serinus.core.errors import Conflict, InvalidInput, NotFound, Refused
from serinus.core.signature import Signature, TensorSpec
from serinus.core.traffic import (
    NO_TRAFFIC,
    WHOLE,
    Arm,
    Constant,
    FallbackPolicy,
    OtherVersion,
    Rule,
    Traffic,
    TrafficSplit,
    Trigger,
)
from serinus.core.version import Version
from serinus.registry.records import Draft, Examination, Placement
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql import tables
from serinus.registry.sql.database import Database
from tests.registry.databases import clock, database, kind, url
from tests.registry.databases import registry as empty_registry
from tests.registry.drafts import SIGNATURE, Clock, draft
from tests.support.rollout_changes import GONE, NEW, OLD, change_to, end, mirrored, split_of

__all__ = ["clock", "database", "empty_registry", "kind", "url"]

BY_HAND = split_of(500, rollout="")


@pytest.fixture
async def registry(empty_registry: Registry) -> Registry:
    """Holds m@1.0.0 (stable) and m@1.1.0; its revision is 2."""
    for version in ("1.0.0", "1.1.0"):
        await empty_registry.register(draft(version), actor="ann")
    return empty_registry


async def last_entry(registry: Registry) -> tuple[str, str, Mapping[str, Any], Mapping[str, Any]]:
    """Of the audit."""
    entry = (await registry.audit(0, limit=100))[-1]
    return entry.actor, entry.action, entry.before, entry.after


async def test_a_split_is_set_and_removed(registry: Registry):
    """Each is one revision; saying it again is none, and the audit keeps what was there."""
    made = await registry.set_split("m", BY_HAND, actor="bob", expected_revision=2)
    assert (made.traffic, made.revision) == (Traffic(BY_HAND), 3)
    actor, action, before, after = await last_entry(registry)
    assert (actor, action, before, after["arms"]) == ("bob", "split.set", {}, [[2, 500], [1, 9500]])
    assert await registry.set_split("m", split_of(500, rollout=""), actor="bob") == made == await registry.model("m")
    gone = await registry.set_split("m", None, actor="bob")
    assert (gone.traffic, gone.revision) == (NO_TRAFFIC, 4)
    assert await last_entry(registry) == ("bob", "split.remove", after, {})
    with pytest.raises(Conflict):
        await registry.set_split("m", BY_HAND, actor="bob", expected_revision=3)


async def test_breakers_are_reset_each_time(registry: Registry):
    """Servers compare the number with the one that they acted by."""
    for number in (1, 2):
        assert (await registry.reset_breakers("m", actor="bob")).traffic == Traffic(breaker_resets=number)
        assert await last_entry(registry) == (
            "bob",
            "breakers.reset",
            {"resets": number - 1},
            {"resets": number},
        )


async def test_decisions_do_not_touch_each_other(registry: Registry):
    """The split stays when the fallback is set, and so on."""
    policy = FallbackPolicy((OtherVersion("m", "stable"),))
    await registry.set_split("m", BY_HAND, actor="bob")
    await registry.set_fallback("m", policy, actor="bob")
    await registry.reset_breakers("m", actor="bob")
    assert (await registry.set_fallback("m", policy, actor="bob")).revision == 5
    assert (await registry.model("m")).traffic == Traffic(BY_HAND, policy, breaker_resets=1)
    await registry.register(draft("1.2.0"), actor="ann")
    await registry.set_split("m", None, actor="bob")
    left = (await registry.set_fallback("m", None, actor="bob")).traffic
    assert left == (await registry.snapshot()).models["m"].traffic == Traffic(breaker_resets=1)


async def test_followers_read_decisions_with_their_model(registry: Registry):
    """As anything that changes of it; other models are the same objects."""
    await registry.register(draft("1.0.0", "n"), actor="ann")
    old = await registry.snapshot()
    await registry.set_split("m", BY_HAND, actor="bob")
    new = await registry.refreshed(old)
    assert new == await registry.snapshot()
    assert (new.models["m"].traffic.split, new.models["n"]) == (BY_HAND, old.models["n"])
    assert new.models["n"] is old.models["n"]


async def test_a_model_whose_traffic_cannot_be_read_is_served(registry: Registry, database: Database, caplog):
    """Without it; what is decided next can be read again."""
    await registry.set_split("m", BY_HAND, actor="bob")
    spoil = sa.update(tables.models).values(traffic={"split": 7})
    await database.write(lambda connection: connection.execute(spoil))
    model = await registry.model("m")
    assert (model.traffic, [each.identity for each in model.versions]) == (NO_TRAFFIC, [NEW, OLD])
    assert "traffic left out" in caplog.text
    await registry.set_split("m", BY_HAND, actor="bob")
    assert (await registry.model("m")).traffic == Traffic(BY_HAND)


async def test_a_split_that_cannot_be_is_refused(registry: Registry):
    """Each says what was expected."""
    whole, rule = (Arm(OLD, WHOLE),), Rule("cohort", frozenset({"a"}), OLD)
    for split, sentence in (
        (TrafficSplit("salt", (Arm(NEW, -1), Arm(OLD, WHOLE + 1))), "weights from 0 to 100 percent"),
        (TrafficSplit("salt", (Arm(OLD, 500), Arm(OLD, 9500))), "each version once"),
        (TrafficSplit("salt", whole, rules=(rule,) * 65), "at most 64 rules"),
        (
            TrafficSplit("salt", whole, rules=(Rule("cohort", frozenset(map(str, range(1001))), OLD),)),
            "at most 1000 values",
        ),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            await registry.set_split("m", split, actor="bob")
    for split in (split_of(500, to=GONE), mirrored(GONE)):
        with pytest.raises(NotFound, match=r"no version '9\.0\.0'"):
            await registry.set_split("m", split, actor="bob")
    await registry.place("m", "1.1.0", Placement.UNLOADED, actor="bob")
    with pytest.raises(Refused, match="was unloaded by hand") as refused:
        await registry.set_split("m", BY_HAND, actor="bob")
    assert refused.value.reason == "NOT_LOADABLE"


async def test_what_a_rollout_moves_is_nobody_elses(registry: Registry, database: Database, clock: Clock):
    """Its split and `stable`; what it does not move can be changed, and all can when it has ended."""
    store = RolloutStore(database, now=clock)
    await store.begin("r1", "m", change_to(500), actor="ann")
    for write in (
        registry.set_split("m", BY_HAND, actor="bob"),
        registry.set_split("m", None, actor="bob"),
        registry.set_alias("m", "stable", "1.1.0", actor="bob"),
        registry.remove_alias("m", "stable", actor="bob"),
        registry.register(draft("1.2.0"), aliases=["stable"], actor="bob"),
    ):
        with pytest.raises(Refused, match="rollout r1 of model 'm' is under way") as refused:
            await write
        assert refused.value.reason == "ROLLOUT_ACTIVE"
    assert await registry.current_revision() == 3
    await registry.set_alias("m", "stable", "1.0.0", actor="bob")
    await registry.set_alias("m", "canary", "1.1.0", actor="bob")
    await registry.register(draft("1.2.0"), actor="bob")
    assert (await registry.model("m")).traffic == Traffic(split_of(500), None, "r1", (OLD, NEW))
    for selector in ("1.1.0", None):
        with pytest.raises(Refused, match=r"takes part in rollout r1: abort that first") as refused:
            await registry.place("m", selector, Placement.UNLOADED, actor="bob")
        assert refused.value.reason == "ROLLOUT_ACTIVE"
    await store.write("r1", end("aborted"), actor="ann", expected_revision=3, lease=None)
    await registry.place("m", "1.1.0", Placement.UNLOADED, actor="bob")
    await registry.place("m", "1.1.0", Placement.FOLLOW, actor="bob")
    await registry.set_alias("m", "stable", "1.1.0", actor="bob")
    await registry.set_split("m", BY_HAND, actor="bob")


async def test_a_version_that_calls_are_sent_to_stays(registry: Registry, database: Database, clock: Clock):
    """It is neither deleted nor archived; the refusal says what needs it."""

    async def check(sentence: str) -> None:
        for write in (registry.delete("m", Version(1, 1), actor="bob"), registry.archive("m", "1.1.0", actor="bob")):
            with pytest.raises(Refused, match=sentence) as refused:
                await write
            assert refused.value.reason == "IN_USE"

    for split in (split_of(0, rollout=""), mirrored(NEW)):
        await registry.set_split("m", split, actor="bob")
        await check(r"m@1\.1\.0 is in use: the split of its model needs it")
    await registry.set_split("m", None, actor="bob")
    store = RolloutStore(database, now=clock)
    begun = await store.begin("r1", "m", change_to(0, split=None), actor="ann")
    await check(r"m@1\.1\.0 is in use: rollout r1 needs it")
    await store.write("r1", end("aborted"), actor="ann", expected_revision=begun.revision, lease=None)
    await registry.register(draft("1.0.0", "n"), actor="ann")
    for selector in ("1.1.0", "2"):
        await registry.set_fallback("n", FallbackPolicy((OtherVersion("m", selector),)), actor="bob")
        await check(r"m@1\.1\.0 is in use: model 'n' falls back on it")
    await registry.set_fallback("n", FallbackPolicy((OtherVersion("m", "latest"),)), actor="bob")
    await registry.archive("m", "1.1.0", actor="bob")
    await registry.delete("m", Version(1, 1), actor="bob")


def registered_as(model: str, signature: Signature) -> Draft:
    """A version with a signature of its own."""
    return dataclasses.replace(draft("1.0.0", model), examination=Examination(signature))


WIDER = Signature(
    (dataclasses.replace(SIGNATURE.inputs[0], shape=("rows", "any")), SIGNATURE.inputs[1]),
    (*SIGNATURE.outputs, TensorSpec("extra", DType.FP32, ("rows",), 0)),
)
OTHER_INPUT = Signature((TensorSpec("text", DType.BYTES, ("rows",), 0),), SIGNATURE.outputs)
OTHER_OUTPUT = Signature(SIGNATURE.inputs, (TensorSpec("y", DType.FP64, ("rows", 2), 0),))


@pytest.fixture
async def others(registry: Registry) -> Registry:
    """Holds models of other signatures too."""
    for name, signature in (("wider", WIDER), ("input", OTHER_INPUT), ("output", OTHER_OUTPUT)):
        await registry.register(registered_as(name, signature), actor="ann")
    return registry


async def test_fallbacks_that_fit_are_kept(others: Registry):
    """Versions by any selector, models that take and give at least as much, and constants; in their order."""
    policy = FallbackPolicy(
        targets=(
            OtherVersion("m", "1.0.0"),
            OtherVersion("wider", ""),
            OtherVersion("wider", "^1"),
            Constant({"y": [0, 0.5]}),
        ),
        triggers=frozenset({Trigger.ERROR, Trigger.INVALID}),
        attempt_timeout_s=0.5,
        budget=1,
        ranges={"y": (float("-inf"), 1)},
    )
    kept = await others.set_fallback("m", policy, actor="bob")
    assert kept.traffic.fallback == policy
    assert await others.model("m") == kept
    actor, action, before, after = await last_entry(others)
    assert (actor, action, before, after["targets"][1]) == (
        "bob",
        "fallback.set",
        {},
        {"model": "wider", "selector": ""},
    )
    assert (await others.verify_audit()).problem == ""


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (FallbackPolicy((OtherVersion("m", ""),)), "fallback 'm' is the model itself"),
        (FallbackPolicy((OtherVersion("m", "9.0.0"),)), r"fallback 'm@9\.0\.0': no version '9\.0\.0'"),
        (FallbackPolicy((OtherVersion("m", "not a version"),)), "fallback 'm@not a version': invalid range"),
        (FallbackPolicy((OtherVersion("nobody", "stable"),)), "fallback 'nobody@stable': no model 'nobody'"),
        (FallbackPolicy((OtherVersion("input", ""),)), r"fallback 'input' cannot stand in for m@1\.0\.0: input 'x'"),
        (FallbackPolicy((OtherVersion("output", "1"),)), r"'output@1' cannot stand in for m@1\.0\.0: output 'y' was"),
        (FallbackPolicy((Constant({}),)), r"the constant answer does not fit m@1\.0\.0: output 'y' is missing"),
        (FallbackPolicy(()), "expected 1 to 4 fallbacks, got 0"),
        (FallbackPolicy((OtherVersion("m", "1.0.0"),) * 5), "expected 1 to 4 fallbacks, got 5"),
        (FallbackPolicy((OtherVersion("m", "1"),), frozenset()), "expected a trigger"),
        (FallbackPolicy((OtherVersion("m", "1"),), attempt_timeout_s=0), "attempt_timeout_s: expected more than 0"),
        (FallbackPolicy((OtherVersion("m", "1"),), attempt_timeout_s=float("nan")), "attempt_timeout_s: expected"),
        (FallbackPolicy((OtherVersion("m", "1"),), budget=1.5), "budget: expected a share"),
        (FallbackPolicy((OtherVersion("m", "1"),), ranges={"z": (0, 1)}), "has no output 'z'"),
        (FallbackPolicy((OtherVersion("m", "1"),), ranges={"y": (1, 0)}), "the lowest value of 'y' before the highest"),
        (FallbackPolicy((OtherVersion("m", "1"),), ranges={"y": (float("nan"), 0)}), "the lowest value of 'y'"),
    ],
)
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_a_fallback_that_cannot_stand_in_is_refused(others: Registry, policy: FallbackPolicy, sentence: str):
    """The sentence names it, and nothing is written."""
    before = await others.current_revision()
    with pytest.raises(InvalidInput, match=sentence) as refused:
        await others.set_fallback("m", policy, actor="bob")
    assert (refused.value.reason, refused.value.field) == ("INVALID_FALLBACK", "fallback")
    assert await others.current_revision() == before


async def test_a_fallback_that_was_unloaded_is_refused(others: Registry):
    """It would never answer."""
    await others.place("wider", "1.0.0", Placement.UNLOADED, actor="bob")
    with pytest.raises(InvalidInput, match=r"fallback 'wider' was unloaded by hand: 'serinus models load wider@1\.0"):
        await others.set_fallback("m", FallbackPolicy((OtherVersion("wider", ""),)), actor="bob")


async def test_fallbacks_never_lead_back(registry: Registry, database: Database):
    """Over any number of models; one whose policy cannot be read leads nowhere."""
    for name in ("a", "b", "c", "d"):
        await registry.register(draft("1.0.0", name), actor="ann")

    async def fall_back(model: str, *others: str) -> None:
        targets = tuple(OtherVersion(other, "stable") for other in others)
        await registry.set_fallback(model, FallbackPolicy((OtherVersion(model, "stable"), *targets)), actor="bob")

    await fall_back("a", "b", "d")
    await fall_back("b", "c")
    await fall_back("c", "d")
    for model, circle in (("b", "b -> a -> b"), ("c", "c -> a -> b -> c"), ("d", "d -> c -> d")):
        leads = {"b": "a", "c": "a", "d": "c"}[model]
        with pytest.raises(InvalidInput, match=f"fallback {leads!r} leads back to the model: {circle}"):
            await fall_back(model, leads)
    spoil = sa.update(tables.models).where(tables.models.c.name == "c").values(traffic={"fallback": 7})
    await database.write(lambda connection: connection.execute(spoil))
    await fall_back("d", "c")
