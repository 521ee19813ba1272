"""What this server serves follows what is registered."""

import dataclasses

from serinus.app.following import Following
from serinus.app.plans import plan_of
from serinus.core.traffic import NO_TRAFFIC, FallbackPolicy, OtherVersion, Traffic
from serinus.lifecycle.plan import ModelPlan
from serinus.registry.records import ModelRecord, Snapshot
from serinus.registry.wanted import FollowMode
from tests.support.records import model_record, version_record

FOLLOW = FollowMode.FOLLOW


class Plans:
    """Remembers what was wanted since it was last asked, and what is in force for calls."""

    def __init__(self) -> None:
        self._plans: list[ModelPlan] = []
        self.traffic: dict[str, Traffic] = {}

    def apply(self, plan: ModelPlan) -> None:
        self._plans.append(plan)

    def route(self, model: str, traffic: Traffic) -> None:
        self.traffic[model] = traffic

    def taken(self) -> list[ModelPlan]:
        plans, self._plans = self._plans, []
        return plans


def model(name: str, revision: int) -> ModelRecord:
    record = model_record(version_record(model=name), aliases={"stable": 1}, name=name)
    return dataclasses.replace(record, revision=revision)


def snapshot(revision: int, *models: ModelRecord) -> Snapshot:
    return Snapshot(revision, {record.name: record for record in models})


def following(*taken: str) -> tuple[Following, Plans]:
    plans = Plans()
    return Following(plans, route=plans.route, mode=FOLLOW, is_taken=frozenset(taken).__contains__), plans


def test_what_was_decided_about_calls_is_in_force_as_long_as_the_model_is_there():
    """Unless the operator named another model so; then it is no business of the registry's."""
    subject, plans = following("named")
    decided = Traffic(fallback=FallbackPolicy((OtherVersion("a", "stable"),)))
    a, named = (dataclasses.replace(model(name, 1), traffic=decided) for name in ("a", "named"))
    subject.apply(snapshot(1, a, named))
    assert plans.traffic == {"a": decided}
    assert subject.record("a") is a
    subject.apply(snapshot(2, named))
    assert plans.traffic == {"a": NO_TRAFFIC}
    assert subject.record("a") is None


def test_what_changed_is_wanted_anew_and_nothing_else():
    """A registry may hold thousands of models."""
    subject, plans = following()
    a, b = model("a", 1), model("b", 2)
    subject.apply(snapshot(2, a, b))
    assert plans.taken() == [plan_of(a, FOLLOW), plan_of(b, FOLLOW)]
    newer = model("b", 3)
    subject.apply(snapshot(3, a, newer))
    assert plans.taken() == [plan_of(newer, FOLLOW)]
    subject.apply(snapshot(3, a, newer))
    assert plans.taken() == []


def test_a_snapshot_older_than_an_operators_write_does_not_undo_it():
    """It was read before the write, and comes after it."""
    subject, plans = following()
    subject.apply(snapshot(1, model("a", 1)))
    subject.apply_model(model("a", 3))
    plans.taken()
    subject.apply(snapshot(2, model("a", 1), model("b", 2)))
    assert [plan.name for plan in plans.taken()] == ["b"]
    subject.apply(snapshot(3, model("a", 3), model("b", 2)))
    assert plans.taken() == []


def test_a_registry_that_went_back_is_believed():
    """A database that lost its last writes is the truth from now on: what it does not hold is not served."""
    subject, plans = following()
    subject.apply(snapshot(9, model("a", 8), model("b", 9)))
    plans.taken()
    older = model("a", 5)
    subject.apply(snapshot(6, older))
    assert plans.taken() == [ModelPlan("b"), plan_of(older, FOLLOW)]
    assert [name for name in ("a", "b") if name in subject] == ["a"]


def test_a_registry_that_lost_writes_and_went_on_is_believed():
    """Its revision is higher than the one that was known; what it holds is older, other, or gone all the same."""
    subject, plans = following()
    subject.apply(snapshot(9, model("a", 8), model("b", 9), model("c", 2)))
    plans.taken()
    older, other, same = model("a", 5), model("d", 12), model("c", 2)
    subject.apply(snapshot(12, older, same, other))
    assert plans.taken() == [plan_of(older, FOLLOW), plan_of(other, FOLLOW), ModelPlan("b")]


def test_an_operators_write_that_comes_late_undoes_nothing():
    """Between the write and its answer, the snapshot of a later write may have been applied."""
    subject, plans = following()
    newer = model("a", 7)
    subject.apply(snapshot(7, newer))
    plans.taken()
    subject.apply_model(model("a", 6))
    assert plans.taken() == []
    subject.apply_model(newer)
    assert plans.taken() == [plan_of(newer, FOLLOW)]


def test_a_model_that_the_operator_named_goes_on_serving():
    """The registry's model of that name is not served, and not forgotten either."""
    subject, plans = following("a")
    subject.apply(snapshot(2, model("a", 1), model("b", 2)))
    assert [plan.name for plan in plans.taken()] == ["b"]
    assert "a" in subject
    subject.apply(snapshot(1))
    assert plans.taken() == [ModelPlan("b")]
