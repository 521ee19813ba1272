"""What rollouts ask about the versions of a model."""

import pytest

from serinus.app.rollouts.versions import RolloutVersions
from serinus.config.version_facts import parse_version_facts
from serinus.core.dtypes import DType
from serinus.core.errors import NotFound
from serinus.core.signature import Signature, TensorSpec
from serinus.registry.records import ModelRecord
from tests.support.records import PAIR, model_record, version_record

WIDER = Signature((TensorSpec("x", DType.FP32, ("n", 5), 0),), PAIR.outputs)


class OneModel:
    """Has the model m alone."""

    async def model(self, _name: str) -> ModelRecord:
        return model_record(
            version_record("1.0.0", 1),
            version_record("1.0.1", 2, facts=parse_version_facts("serving: {slo: {p99_s: 0.25}}")),
            version_record("2.0.0", 3, signature=WIDER),
            aliases={"stable": 1},
        )


async def test_what_is_registered_is_told():
    """All of it at one revision."""
    versions = await RolloutVersions(OneModel()).of("m")
    one, two, three = (versions.select(number) for number in "123")
    assert (versions.revision, versions.stable) == (3, one)
    assert [versions.slo_p99_s(each) for each in (one, two)] == [None, 0.25]
    assert versions.incompatibility(one, two) == ""
    assert versions.incompatibility(one, three) == (
        "callers of m@1.0.0 cannot be served by m@2.0.0: axis 1 of input 'x' had length 4 and has length 5 now"
    )
    with pytest.raises(NotFound):
        versions.select("4")
