"""What an author says about fallbacks."""

import dataclasses

import pytest

from serinus.app.declared_fallback import with_declared_fallback
from serinus.config.version_facts import parse_version_facts
from serinus.core.dtypes import DType
from serinus.core.signature import Signature, TensorSpec
from serinus.core.traffic import FallbackPolicy, OtherVersion, Traffic
from serinus.registry.records import ModelRecord
from tests.support.records import model_record, version_record


def model(*fallback: str, stable: int = 2) -> ModelRecord:
    """Versions 1.0.0 and 2.0.0 of a model, of which the second names `fallback`."""
    facts = parse_version_facts(f"serving: {{fallback: [{', '.join(fallback)}]}}")
    first = version_record(model="m", version="1.0.0", number=1)
    second = dataclasses.replace(version_record(model="m", version="2.0.0", number=2), facts=facts)
    return model_record(second, first, aliases={"stable": stable}, name="m")


@pytest.mark.parametrize(
    ("said", "targets"),
    [
        (("1.0.0",), ["1.0.0"]),
        (("m@1.0.0", "other@1.0.0"), ["1.0.0"]),
        (("stable", "2.0.0", "9.9.9", "^1"), ["^1"]),
        (("other@1.0.0",), None),
        ((), None),
    ],
)
def test_versions_of_the_same_model_stand_in(said: tuple[str, ...], targets: list[str] | None):
    """Not the version itself, not what is not there, and not another model."""
    found = with_declared_fallback(model(*said)).traffic.fallback
    expected = None if targets is None else FallbackPolicy(tuple(OtherVersion("m", each) for each in targets))
    assert found == expected


def test_what_an_operator_has_set_counts_more():
    """Whatever the author says."""
    policy = FallbackPolicy((OtherVersion("other", "stable"),))
    record = dataclasses.replace(model("1.0.0"), traffic=Traffic(fallback=policy))
    assert with_declared_fallback(record) is record


def test_only_what_the_stable_version_says_counts():
    """The others answer nobody who names no version."""
    record = model("1.0.0", stable=1)
    assert with_declared_fallback(record) is record


def test_a_version_that_callers_could_not_be_sent_to_is_left_out():
    """Its input has another name."""
    record = model("1.0.0")
    second, first = record.versions
    stranger = Signature((TensorSpec("z", DType.FP32, ("N", 2), batch_axis=0),), first.examination.signature.outputs)
    first = dataclasses.replace(first, examination=dataclasses.replace(first.examination, signature=stranger))
    record = dataclasses.replace(record, versions=(second, first))
    assert with_declared_fallback(record) is record
