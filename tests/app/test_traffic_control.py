"""Sharing calls out on an operator's word."""

import dataclasses
from typing import Any

import pytest

from serinus.app.following import Following
from serinus.app.traffic_control import TrafficControl
from serinus.core.errors import InvalidInput, NotFound, Refused, ServerError
from serinus.core.traffic import WHOLE, Arm, FallbackPolicy, OtherVersion, Rule, Traffic, TrafficSplit
from serinus.registry.records import ModelRecord
from serinus.registry.wanted import FollowMode
from serinus.transport.rollouts.values import ArmOrder, RuleOrder, SplitOrder
from tests.support.records import model_record, version_record


class FakeRegistry:
    """One model, whose traffic can be set."""

    def __init__(self, record: ModelRecord) -> None:
        self.record = record

    async def model(self, _name: str) -> ModelRecord:
        return self.record

    def _changed(self, **traffic: Any) -> ModelRecord:
        traffic_now = dataclasses.replace(self.record.traffic, **traffic)
        self.record = dataclasses.replace(self.record, traffic=traffic_now, revision=self.record.revision + 1)
        return self.record

    async def set_split(self, _model: str, split: TrafficSplit | None, **_who: Any) -> ModelRecord:
        return self._changed(split=split)

    async def set_fallback(self, _model: str, policy: FallbackPolicy | None, **_who: Any) -> ModelRecord:
        return self._changed(fallback=policy)

    async def reset_breakers(self, _model: str, **_who: Any) -> ModelRecord:
        return self._changed(breaker_resets=self.record.traffic.breaker_resets + 1)


class World:
    """A control over a model with versions 1.0.0, which is stable, and 1.1.0."""

    def __init__(self, aliases: dict[str, int] | None = None) -> None:
        self.one, self.two = version_record("1.0.0", 1), version_record("1.1.0", 2)
        self.in_force: Traffic | None = None
        following = Following(Ignored(), route=self._route, mode=FollowMode.FOLLOW, is_taken=lambda _name: False)
        record = model_record(self.one, self.two, aliases={"stable": 1} if aliases is None else aliases)
        salts = iter(("first", "second"))
        self.control = TrafficControl(
            FakeRegistry(record), following, breakers=lambda _model: {}, new_salt=lambda: next(salts)
        )

    def _route(self, _model: str, traffic: Traffic) -> None:
        self.in_force = traffic

    async def set(self, *arms: ArmOrder, rules: tuple[RuleOrder, ...] = ()) -> TrafficSplit | None:
        record = await self.control.set_split("m", SplitOrder(arms, rules), actor="a", expected_revision=None)
        return record.traffic.split


class Ignored:
    """Serves nothing."""

    def apply(self, _plan: object) -> None:
        pass


async def test_stable_gets_what_the_arms_leave_and_the_split_is_in_force_at_once():
    """With the rules, whose versions are found like those of the arms."""
    world = World()
    expected = TrafficSplit(
        "first",
        (Arm(world.two.identity, 500), Arm(world.one.identity, WHOLE - 500)),
        rules=(Rule("cohort", frozenset({"beta"}), world.two.identity),),
    )
    assert await world.set(ArmOrder("^1.1", 500), rules=(RuleOrder("cohort", ("beta",), "2"),)) == expected
    assert world.in_force == Traffic(split=expected)


async def test_a_weight_that_moves_keeps_the_salt():
    """So that who is with the version stays there; a split after none is drawn anew."""
    world = World()
    salts = [split.salt for weight in (500, 1000) if (split := await world.set(ArmOrder("1.1.0", weight))) is not None]
    await world.control.set_split("m", None, actor="a", expected_revision=None)
    assert world.in_force == Traffic()
    split = await world.set(ArmOrder("1.1.0", 500))
    assert split is not None
    assert [*salts, split.salt] == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("aliases", "arms", "error", "reason"),
    [
        ({}, [("1.1.0", 500)], Refused, "NO_STABLE"),
        (None, [("9.9.9", 500)], NotFound, "UNKNOWN_VERSION"),
        (None, [("stable", 500)], InvalidInput, "SAME_VERSION"),
        (None, [("1.1.0", 500), ("2", 500)], InvalidInput, "SAME_VERSION"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    aliases: dict[str, int] | None, arms: list[tuple[str, int]], error: type[ServerError], reason: str
):
    """And nothing changes."""
    world = World(aliases)
    with pytest.raises(error) as refused:
        await world.set(*(ArmOrder(*arm) for arm in arms))
    assert refused.value.reason == reason
    assert world.in_force is None


async def test_fallbacks_and_resets_are_in_force_at_once():
    """And shown."""
    world = World()
    policy = FallbackPolicy((OtherVersion("m", "1.1.0"),))
    await world.control.set_fallback("m", policy, actor="a", expected_revision=None)
    record = await world.control.reset_breakers("m", actor="a")
    assert world.in_force == record.traffic == Traffic(fallback=policy, breaker_resets=1)
    assert await world.control.get("m") == record
