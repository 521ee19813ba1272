"""A rollout as it moves: through silence to its end, and as lines for a file."""

import pytest

from serinus.cli.output import console
from serinus.cli.rollout.following import followed
from serinus.cli.rollout.lines import Lines
from serinus.cli.rollout.watch import Picture
from serinus_api.v1 import admin_pb2 as pb
from serinus_client import NotFound, Unavailable
from tests.support.rollout_messages import STARTED_S, ended, rollout

COUNTS = (
    "1.0.0 95 %: 7,830 calls at 47.5/s, errors 8 (0.1 %), slow 71 (0.91 %), invalid 0, p99 19.0 ms; "
    "1.1.0 5 %: 412 calls at 2.50/s, errors 23 (5.58 %), slow 4 (0.97 %), invalid 1 (0.24 %), p99 25.0 ms; "
    "inconclusive, waits for 412 of 500 calls of magika@1.1.0"
)


class Server:
    """Tells one story after the other; an exception in it is raised there."""

    def __init__(self, *stories) -> None:
        self._stories = iter(stories)
        self.waits = 0

    async def watch(self):
        for told in next(self._stories):
            if isinstance(told, Exception):
                raise told
            yield told

    async def wait(self) -> None:
        self.waits += 1


async def _told(server: Server) -> list[pb.Rollout | None]:
    return [each async for each in followed(server.watch, wait=server.wait)]


async def test_a_rollout_is_followed_to_its_end():
    """Nothing is asked for behind it."""
    server = Server([rollout(), ended(), rollout()])
    assert await _told(server) == [rollout(), ended()]
    assert server.waits == 0


async def test_a_server_that_goes_away_is_asked_again():
    """Whether it cut the story off, ended it, or was not there at all meanwhile."""
    gone = Unavailable("no connection")
    server = Server([rollout(), gone], [gone], [rollout(stage=2)], [], [ended()])
    assert await _told(server) == [rollout(), None, None, rollout(stage=2), ended()]
    assert server.waits == 4


@pytest.mark.parametrize("error", [Unavailable("no connection"), NotFound("no such rollout")])
async def test_a_first_failure_is_the_commands(error):
    """Nobody waits for a server that was never there."""
    with pytest.raises(type(error)):
        await _told(Server([error]))


async def test_a_refusal_ends_the_following_later_too():
    """Asking again would not help."""
    with pytest.raises(NotFound):
        await _told(Server([rollout()], [NotFound("it is gone")]))


class Clock:
    """Seconds since 1970, moved by hand."""

    now = STARTED_S + 90.0

    def __call__(self) -> float:
        return self.now


def test_a_file_gets_a_line_for_each_thing_that_happens():
    """And what was counted, every ten seconds."""
    clock = Clock()
    lines = Lines("here:1", clock=clock)

    def told(message: pb.Rollout | None, *, after_s: float = 1.0) -> list[str]:
        clock.now += after_s
        return [line.plain for line in lines.of(message)]

    assert told(rollout(), after_s=0) == [
        "2023-11-14T22:14:50Z  running, canary 5 %",
        f"2023-11-14T22:14:50Z    {COUNTS}",
    ]
    assert told(rollout()) == []
    assert told(None) == ["2023-11-14T22:14:52Z  here:1 does not answer; still trying"]
    assert told(None) == []
    assert told(rollout()) == ["2023-11-14T22:14:54Z  running, canary 5 %"]
    assert told(rollout(), after_s=10) == [f"2023-11-14T22:15:04Z    {COUNTS}"]
    assert told(rollout(status=pb.ROLLOUT_STATUS_PAUSED, reason="paused by bob", verdict=None)) == [
        "2023-11-14T22:15:05Z  paused, canary 5 %: paused by bob"
    ]


def test_the_picture_ticks_while_nothing_is_told(capsys):
    """And says so when the server is silent."""
    clock = Clock()
    picture = Picture("here:1", clock=clock)

    def drawn() -> str:
        console().print(picture.render())
        return capsys.readouterr().out

    assert drawn() == "...\n"
    picture.show(rollout())
    assert "time 45 s of 1 min" in drawn()
    clock.now += 10
    picture.show(None)
    text = drawn()
    assert "time 55 s of 1 min" in text
    assert text.endswith("here:1 does not answer; still trying\n")
    picture.show(rollout())
    assert drawn().endswith("Ctrl-C stops watching; the rollout goes on\n")
    clock.now += 6
    assert drawn().endswith("here:1 has said nothing for 6 s\n")
    picture.show(ended())
    assert "Ctrl-C" not in drawn()
