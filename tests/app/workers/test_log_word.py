"""What is logged by all processes, on the supervisor's side."""

import logging
from collections.abc import Iterator

import pytest

from serinus.app.workers.log_word import LogWord, word_of
from serinus.telemetry.logs import Logs, LogSwitches
from tests.workers.fake_crew import FakeCrew

QUIET = {"log": {"error": True, "warning": True, "info": False, "verbose_level": 0}}


@pytest.fixture
def logs() -> Iterator[Logs]:
    """A log that nobody reads."""
    found = Logs(logging.NullHandler(), LogSwitches())
    yield found
    found.close()


async def test_the_supervisor_obeys_and_tells_all(logs: Logs):
    """The one that was told as well, so that the last word is the same everywhere."""
    crew = FakeCrew(1, 2)
    word = LogWord(lambda: crew, logs)
    assert word.standing() == {"log": None}
    assert await word.relay(1, word_of(LogSwitches(info=False))) == {}
    assert logs.switches == LogSwitches(info=False)
    assert crew.asked == [(1, "log", QUIET), (2, "log", QUIET)]
    assert word.standing() == QUIET
