"""Whatever happens in whatever order, calls are answered and the policy comes to rest."""

import dataclasses
import math
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.config.models import VersionSpec
from serinus.core.errors import ModelRejected, ServerError, StoreUnavailable
from serinus.core.version import ModelVersion
from serinus.lifecycle.plan import ModelPlan
from serinus.lifecycle.policy import (
    Cancel,
    Failure,
    Load,
    Point,
    Snapshot,
    Unload,
    failed,
    next_actions,
    next_retry_s,
)
from tests.lifecycle.plans import spec_of

TEXTS = ("1.0.0", "1.1.0", "2.0.0")
ALIASES = ("stable", "canary")


@st.composite
def plans(draw: st.DrawFn) -> ModelPlan:
    """A plan as a registry makes it: most aliases name wanted versions, some do not."""
    texts = draw(st.sets(st.sampled_from(TEXTS)))
    specs = tuple(spec_of(text, reject_nonfinite=draw(st.booleans())) for text in sorted(texts))
    named = draw(st.dictionaries(st.sampled_from(ALIASES), st.sampled_from(TEXTS)))
    return ModelPlan("m", specs, {alias: spec_of(text).identity for alias, text in named.items()})


@dataclasses.dataclass
class World:
    """Does at once what it is told, and checks that it may be done."""

    plan: ModelPlan = dataclasses.field(default_factory=lambda: ModelPlan("m"))
    now: float = 0.0
    ready: dict[int, VersionSpec] = dataclasses.field(default_factory=dict)
    loading: dict[int, VersionSpec] = dataclasses.field(default_factory=dict)
    failed: dict[int, Failure] = dataclasses.field(default_factory=dict)
    asleep: set[int] = dataclasses.field(default_factory=set)
    aliases: dict[str, ModelVersion] = dataclasses.field(default_factory=dict)

    @property
    def wanted(self) -> set[int]:
        return {spec.identity.number for spec in self.plan.versions}

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.plan,
            self.now,
            tuple(self.ready.values()),
            tuple(self.loading.values()),
            dict(self.failed),
            frozenset(self.asleep),
            dict(self.aliases),
        )

    def act(self) -> None:
        """Do what the policy says, once; it must have nothing to add then."""
        for action in next_actions(self.snapshot):
            match action:
                case Load(spec):
                    number = spec.identity.number
                    assert spec in self.plan.versions
                    assert number not in self.loading
                    failure = self.failed.get(number)
                    assert failure is None or (failure.retry_at is not None and failure.retry_at <= self.now)
                    self.asleep.discard(number)
                    self.loading[number] = spec
                case Cancel(spec):
                    assert self.loading.pop(spec.identity.number) == spec
                    assert spec not in self.plan.versions
                case Point(alias, None):
                    del self.aliases[alias]
                case Point(alias, version):
                    assert version is not None
                    assert version.number in self.ready
                    assert self.plan.aliases[alias] == version
                    self.aliases[alias] = version
                case Unload(version):
                    self._unload(version)
        assert next_actions(self.snapshot) == ()
        assert (next_retry_s(self.snapshot) or math.inf) > self.now, "a time that has passed would be waited for"

    def _unload(self, version: ModelVersion) -> None:
        del self.ready[version.number]
        assert version.number not in self.wanted
        assert not self.wanted or self.wanted & self.ready.keys(), "the last version that served is gone"
        assert version not in self.aliases.values(), "an alias means a version that is gone"

    def want(self, plan: ModelPlan) -> None:
        if plan != self.plan:
            self.failed.clear()
        self.plan = plan
        before, served = dict(self.aliases), set(self.ready)
        self.act()
        for alias, version in before.items():
            target = self.plan.aliases.get(alias)
            if target is not None and target.number in self.wanted and version.number in served:
                assert self.aliases[alias] in {version, target}, "an alias was lost while its version is on its way"
                assert self.aliases[alias].number in self.ready

    def end_load(self, number: int, error: ServerError | None) -> None:
        spec = self.loading.pop(number)
        if error is None:
            self.ready[number] = spec
            self.failed.pop(number, None)
        else:
            served, aliases = dict(self.ready), dict(self.aliases)
            self.failed[number] = failed(error, self.failed.get(number), self.now)
        self.act()
        if error is not None:
            assert served.keys() <= self.ready.keys() | (served.keys() - self.wanted)
            assert self.wanted & self.ready.keys() or served == self.ready, "a load that failed took others away"
            assert self.aliases == aliases

    def evict(self, number: int) -> None:
        del self.ready[number]
        if number in self.wanted:
            self.asleep.add(number)

    def finish(self, errors: Iterable[ServerError | None] = ()) -> None:
        """End all loads, well unless `errors` say otherwise."""
        ends = iter(errors)
        for _ in range(100):
            if not self.loading:
                return
            self.end_load(min(self.loading), next(ends, None))
        raise AssertionError("the policy does not come to rest")


events = st.one_of(
    plans().map(lambda plan: ("want", plan)),
    st.tuples(st.just("end"), st.sampled_from([None, None, ModelRejected("bad"), StoreUnavailable("away")])),
    st.tuples(st.just("evict"), st.integers(0, 2)),
    st.tuples(st.just("ask"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 7.0, 400.0])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=30), st.integers(0, 2))
def test_calls_are_answered_whatever_happens(history: list[tuple[str, object]], which: int):
    """Plans change, loads end well and badly, versions make room: `World` checks each step."""
    world = World()
    for kind, value in history:
        if kind == "want":
            assert isinstance(value, ModelPlan)
            world.want(value)
        elif kind == "end" and world.loading:
            assert value is None or isinstance(value, ServerError)
            world.end_load(sorted(world.loading)[which % len(world.loading)], value)
        elif kind == "evict" and world.ready:
            assert isinstance(value, int)
            world.evict(sorted(world.ready)[value % len(world.ready)])
        elif kind == "ask" and world.asleep:
            assert isinstance(value, int)
            world.asleep.discard(sorted(world.asleep)[value % len(world.asleep)])
        elif kind == "wait":
            assert isinstance(value, float)
            world.now += value
        world.act()
    world.finish()


@settings(max_examples=100, deadline=None)
@given(st.lists(plans(), min_size=1, max_size=6), st.lists(st.booleans(), max_size=6))
def test_what_is_wanted_is_what_serves_in_the_end(wishes: list[ModelPlan], ended: list[bool]):
    """Where loads succeed: exactly the versions of the last plan, and the aliases that can be."""
    world = World()
    for index, plan in enumerate(wishes):
        world.want(plan)
        if index < len(ended) and ended[index]:
            world.finish()
    world.finish()
    last = wishes[-1]
    assert set(world.ready) == world.wanted
    assert tuple(world.ready[spec.identity.number] for spec in last.versions) == last.versions
    reachable = {alias: version for alias, version in last.aliases.items() if version.number in world.wanted}
    assert reachable.items() <= world.aliases.items()
    assert world.aliases.keys() <= last.aliases.keys()
    assert all(version.number in world.ready for version in world.aliases.values())


@settings(max_examples=100, deadline=None)
@given(plans(), plans())
def test_a_plan_that_cannot_be_loaded_changes_nothing(old: ModelPlan, new: ModelPlan):
    """What served serves, under the same names, but for what the new plan takes away by itself."""
    world = World()
    world.want(old)
    world.finish()
    served = dict(world.ready)
    world.want(new)
    world.finish([ModelRejected("bad")] * 10)
    if world.wanted and not world.wanted & served.keys():
        assert world.ready == served
    for number in served.keys() & world.wanted:
        assert world.ready[number] == served[number]
    assert next_retry_s(world.snapshot) is None
