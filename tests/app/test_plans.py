"""What is to be served of what is registered."""

import dataclasses

from serinus.app.plans import plan_of
from serinus.config.models import BatchingSpec, Tolerance, VersionSpec
from serinus.config.version_facts import ServingOptions, VersionFacts
from serinus.lifecycle.plan import ModelPlan
from serinus.registry.records import Examination, GoldenResult
from serinus.registry.wanted import FollowMode
from tests.support.records import PAIR, model_record, version_record


def test_a_plan_says_all_that_a_load_needs():
    """Files by hash, how it is served, and what it must answer; other versions are known."""
    facts = VersionFacts(
        serving=ServingOptions(batching=BatchingSpec(max_rows=8)), tolerance=Tolerance(absolute=0.5, relative=0)
    )
    served = dataclasses.replace(
        version_record("1.0.0", 1, facts=facts),
        examination=Examination(PAIR, goldens=(GoldenResult("golden/a.npz", 0.0),)),
    )
    spare = version_record("1.1.0", 2)
    model = model_record(served, spare, aliases={"stable": 1})
    assert plan_of(model, FollowMode.FOLLOW) == ModelPlan(
        "m",
        versions=(
            VersionSpec(
                served.identity,
                served.manifest,
                facts.serving,
                goldens=("golden/a.npz",),
                tolerance=facts.tolerance,
            ),
        ),
        aliases={"stable": served.identity},
        known=(spare.identity, served.identity),
    )


def test_a_model_without_versions_is_known_by_nothing():
    """All of them may have been deleted."""
    assert plan_of(model_record(), FollowMode.FOLLOW) == ModelPlan("m")
