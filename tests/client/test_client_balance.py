"""Which stream a message goes to, and with how many calls."""

import dataclasses

import pytest

from serinus_client.balance import CallCost, choose


@dataclasses.dataclass
class Stream:
    """What is known of one."""

    calls: int = 0
    credits: int = 1024
    is_writing: bool = False
    is_proven: bool = True
    is_doubtful: bool = False

    @property
    def open(self):
        return range(self.calls)


def chosen(*streams, waiting, together):
    """The place of the stream, and the calls; None for none."""
    found = choose(streams, waiting=waiting, together=together)
    return found and (next(place for place, stream in enumerate(streams) if stream is found[0]), found[1])


@pytest.mark.parametrize(
    ("streams", "waiting", "together", "expected"),
    [
        pytest.param([], 5, 25, None, id="nowhere to go"),
        pytest.param([Stream(), Stream()], 16, 25, (0, 16), id="few quick calls stay together"),
        pytest.param([Stream(20), Stream()], 16, 25, (1, 16), id="more of them are shared out"),
        pytest.param([Stream(), Stream()], 16, 1, (0, 8), id="slow calls are shared out at once"),
        pytest.param([Stream(8), Stream()], 8, 1, (1, 8), id="to whoever has fewer"),
        pytest.param([Stream(3), Stream(1), Stream(2)], 1, 1, (1, 1), id="each to the least outstanding"),
        pytest.param([Stream(40, credits=50), Stream(60, credits=600)], 1, 1, (1, 1), id="by its credits"),
        pytest.param([Stream(is_writing=True), Stream()], 5, 25, None, id="a moment is waited for"),
        pytest.param([Stream(10, credits=10), Stream()], 5, 25, (1, 5), id="no room is not waited for"),
        pytest.param([Stream(8, credits=10)], 5, 25, (0, 2), id="never above the credits"),
        pytest.param([Stream(10, credits=10)], 5, 25, None, id="full"),
        pytest.param([Stream(20, credits=10)], 5, 25, None, id="fuller than full, since the credits shrank"),
        pytest.param([Stream(is_proven=False), Stream(9)], 5, 25, (1, 5), id="better one that was heard"),
        pytest.param([Stream(is_proven=False)], 5, 25, (0, 5), id="else one that was not"),
        pytest.param([Stream(is_doubtful=True), Stream(9)], 5, 25, (1, 5), id="better one without doubts"),
        pytest.param([Stream(is_doubtful=True)], 5, 25, (0, 5), id="else one with doubts"),
    ],
)
def test_the_next_message(streams, waiting, together, expected):
    """A table of cases."""
    assert chosen(*streams, waiting=waiting, together=together) == expected


def test_what_calls_cost_is_learned_from_answers():
    """Quick ones are kept together by the dozen, slow ones not at all."""
    cost = CallCost()
    assert cost.together == 25
    for _ in range(40):
        cost.note(0.015, 1)
    assert cost.together == 1
    for _ in range(120):
        cost.note(50e-6, 64)
    assert cost.together == 24
