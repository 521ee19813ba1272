"""Execution providers are looked at before servers are started with them."""

import pytest

from harness.plan import Plan
from harness.providers import usable
from serinus.core.errors import ModelRejected


def test_providers_that_are_there_are_passed_on():
    """By onnxruntime's names; none named leaves servers to themselves."""
    plan = Plan(providers=usable("cpu, CPUExecutionProvider"))
    assert plan.server_flags == ("--provider", "CPUExecutionProvider")
    assert (usable(""), Plan().server_flags, Plan().session_providers) == ((), (), ["CPUExecutionProvider"])


@pytest.mark.parametrize("names", ["tensorrt", "cpu,TensorrtExecutionProvider", "nonsense", ","])
def test_a_provider_that_is_not_there_is_an_error_at_once(names):
    """It says what there is."""
    with pytest.raises(ModelRejected, match=r"is not available: this onnxruntime has .*CPU|no provider is named"):
        usable(names)
