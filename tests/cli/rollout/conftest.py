"""A server of rollouts in memory, and a command line that talks to it."""

from collections.abc import Callable, Iterator

import pytest

from tests.cli.conftest import Ended
from tests.support.fake_rollouts import FakeRollouts


@pytest.fixture
def rollouts() -> Iterator[FakeRollouts]:
    """A server that knows no rollout yet."""
    with FakeRollouts() as fake:
        yield fake


@pytest.fixture
def tell(serinus, rollouts) -> Callable[..., Ended]:
    """Runs a command line that talks to it."""
    return lambda *arguments: serinus(*arguments, "--server", rollouts.target)
