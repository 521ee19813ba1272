"""Servers on which rollouts go fast, and how a rollout is seen to its end there."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from serinus_api.v1 import admin_pb2 as pb
from serinus_client import AsyncClient
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, place
from tests.support.invariants import scrape

QUICK = "[rollouts]\ninterval_s = 0.1\nlost_after_s = 2\n"
"""The judge looks ten times a second; a server that is killed is missed soon."""
_LONGEST_S = 60.0  # of a rollout, on a machine whose cores are all busy
_SLOW_S = 5.0  # what no call of a small model takes, however busy the machine is

LENIENT: Mapping[str, Any] = {
    "errors": {"ceiling": 0.3},
    "latency": {"limit_s": _SLOW_S, "ceiling": 0.3},
    "invalid": {"ceiling": 0.3},
    "disagreement": {"limit": 0.3},
}
"""Limits that two dozen calls show to be kept, and that a busy machine does not break."""


def canary(*weights: float, min_requests: int = 25, min_s: float = 0.0, **options: Any) -> list[dict[str, Any]]:
    """Canary stages of these weights in percent."""
    return [
        {"canary": {"weight": weight, "min_requests": min_requests, "min_s": min_s, **options}} for weight in weights
    ]


def plan(candidate: str, stages: Sequence[Mapping[str, Any]], *, model: str = "m", **more: Any) -> dict[str, Any]:
    """A spec whose limits are `LENIENT`, but for those that `more["guardrails"]` names."""
    guardrails = {**LENIENT, **more.pop("guardrails", {})}
    return {
        "model": model,
        "candidate": candidate,
        "stages": list(stages),
        "guardrails": guardrails,
        "warm_up_requests": 3,
        **more,
    }


@contextlib.asynccontextmanager
async def quick_place(
    forks: Nursery, folder: Path, *, tables: str = QUICK, errors: Sequence[str] = (), **options: Any
) -> AsyncIterator[Place]:
    """A server on which rollouts go fast; afterwards its registry stands, and its log has no error.

    Args:
        forks: Starts it.
        folder: Of one server.
        tables: Of its configuration.
        errors: Events that its log may have as errors.
        options: Of `place`.
    """
    options.setdefault("database", folder / "state" / "registry.db")
    async with place(forks, folder, tables=tables, **options) as made:
        yield made
        if not made.server.is_killed:
            await made.check_registry()
    assert_calm(made, errors)


@contextlib.asynccontextmanager
async def pair(
    forks: Nursery, home: Path, *, tables: str = QUICK, errors: Sequence[str] = ()
) -> AsyncIterator[tuple[Place, Place]]:
    """Two servers that share a whole state folder, as two workers of one machine would."""
    async with (
        one_of(forks, home, "first", tables=tables, errors=errors) as first,
        one_of(forks, home, "second", tables=tables, errors=errors) as second,
    ):
        yield first, second


def one_of(forks: Nursery, home: Path, name: str, **options: Any) -> contextlib.AbstractAsyncContextManager[Place]:
    """One of several servers that share the state folder of `home`; the next one of that name goes on as it did."""
    state = home / "state"
    return quick_place(forks, home / name, state=str(state), database=state / "registry.db", **options)


def assert_calm(server: Place, errors: Sequence[str] = ()) -> None:
    """I7: no log line is an error, but for those events."""
    worst = [event for event in server.server.events() if event["level"] in {"error", "critical"}]
    assert [event for event in worst if event["event"] not in errors] == []


async def ended(client: AsyncClient, rollout: str, within_s: float = _LONGEST_S) -> pb.Rollout:
    """The rollout as it ended."""
    return await _seen(client, rollout, lambda _: False, within_s)


async def until(
    client: AsyncClient, rollout: str, status: "pb.RolloutStatus", within_s: float = _LONGEST_S
) -> pb.Rollout:
    """The rollout as soon as it stands there; AssertionError if it ends elsewhere."""
    last = await _seen(client, rollout, lambda now: now.status == status, within_s)
    assert last.status == status, last
    return last


async def _seen(
    client: AsyncClient, rollout: str, is_enough: Callable[[pb.Rollout], bool], within_s: float
) -> pb.Rollout:
    """The rollout when that is enough, or else as it ended."""
    last = pb.Rollout()
    try:
        async with asyncio.timeout(within_s), contextlib.aclosing(client.admin.watch_rollout(rollout)) as watching:
            async for seen in watching:
                last = seen
                if is_enough(last):
                    break
    except TimeoutError:
        raise AssertionError(f"not so within {within_s:g} s: {last}") from None
    return last


async def events(client: AsyncClient, rollout: str) -> list[tuple[str, str]]:
    """What has happened to a rollout, and where it stood since."""
    journal = await client.admin.rollout_journal(rollout)
    return [
        (each.event, pb.RolloutStatus.Name(each.status).removeprefix("ROLLOUT_STATUS_").lower()) for each in journal
    ]


async def evidence(client: AsyncClient, rollout: str) -> Mapping[str, Any]:
    """The numbers of the last entry of a rollout's journal that has any."""
    journal = await client.admin.rollout_journal(rollout)
    return next(json.loads(each.numbers_json) for each in reversed(journal) if each.numbers_json not in {"", "{}"})


def exposed(rollout: pb.Rollout, version: str) -> int:
    """Calls that a version got by weight in all of a rollout, warm-up not counted."""
    return next(arm.total_exposures for arm in rollout.arms if arm.version == version)


async def weight(server: Place, version: str, model: str = "m") -> float:
    """The share of the calls that a version gets from this server by weight."""
    scraped = await scrape(server.server.http_port)
    return scraped.total("serinus_traffic_weight_ratio", model=model, version=version)


def show(sentence: str) -> None:
    """What a test has measured, for those who run it with `pytest -s`."""
    sys.stdout.write(f"\n{sentence}\n")
