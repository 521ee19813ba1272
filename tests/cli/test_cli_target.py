"""What errors of calls mean at a command line."""

import pytest

from serinus.cli.output import ExitCode
from serinus.cli.target import failure
from serinus_client import DeadlineExceeded, NotFound, Overloaded, ServerFault, Unavailable


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Unavailable("failed to connect"), ExitCode.UNREACHABLE, "no server answers at here:1: start one with"),
        (DeadlineExceeded("late"), ExitCode.UNREACHABLE, "the server at here:1 did not answer in time: check"),
        (Unavailable("the server is draining", reason="DRAINING"), ExitCode.FAILED, "the server is draining"),
        (NotFound("model 'a': expected one"), ExitCode.FAILED, "model 'a': expected one"),
        (Overloaded("the queue is full"), ExitCode.FAILED, "the queue is full"),
        (ServerFault("internal error 7f3a"), ExitCode.FAILED, "internal error 7f3a"),
    ],
)
def test_only_silence_counts_as_unreachable(error, code, sentence):
    """A server that says no is there."""
    found = failure(error, "here:1")
    assert found.code == code
    assert found.sentences[0].startswith(sentence)
