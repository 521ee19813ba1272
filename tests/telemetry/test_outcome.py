"""The closed lists behind the labels."""

import pytest

from serinus.core.errors import ServerError
from serinus.telemetry.outcome import Refusal


@pytest.mark.parametrize("error", ServerError.__subclasses__(), ids=lambda error: error.__name__)
def test_each_error_of_the_tree_has_a_refusal(error: type[ServerError]):
    """No error that this program raises by itself is counted as "other"."""
    assert Refusal.of(error.default_reason) == error.default_reason.lower()


@pytest.mark.parametrize("reason", ["", "other", "MODEL_7_FAILED", "not_found\n", "not-found", "x" * 999])
def test_any_other_text_is_other(reason: str):
    """Text that is not on the list makes no label of its own."""
    assert Refusal.of(reason) is Refusal.OTHER
