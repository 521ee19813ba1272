"""Each error says whose doing it was."""

import pytest

from serinus.core.errors import (
    BadModelOutput,
    DeadlinePassed,
    Draining,
    InvalidInput,
    Loading,
    ModelFailed,
    NotFound,
    NotLoaded,
    Overloaded,
    Unsupported,
)
from serinus.core.traffic import Trigger
from serinus.serving.failures import Failure, failure_of


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelFailed("x"), Failure(Trigger.ERROR, is_versions=True)),
        (BadModelOutput("x"), Failure(Trigger.ERROR, is_versions=True)),
        (ZeroDivisionError("x"), Failure(Trigger.ERROR, is_versions=True)),
        (DeadlinePassed("x"), Failure(Trigger.TIMEOUT, is_versions=True)),
        (Overloaded("x", retry_after_s=1, reason="TOO_LATE"), Failure(Trigger.TIMEOUT, is_versions=False)),
        (Overloaded("x", retry_after_s=1, reason="QUEUE_FULL"), Failure(Trigger.OVERLOAD, is_versions=False)),
        (Draining("x"), Failure(Trigger.ERROR, is_versions=False)),
        (NotLoaded("x"), Failure(Trigger.ERROR, is_versions=False)),
        (Loading("x"), Failure(Trigger.ERROR, is_versions=False)),
        (InvalidInput("x"), None),
        (NotFound("x"), None),
        (Unsupported("x"), None),
    ],
)
def test_an_error_is_the_versions_the_servers_or_the_callers(error: Exception, expected: Failure | None):
    """What the version did counts against it; what its caller did is nobody else's to answer."""
    assert failure_of(error) == expected
