"""That concurrent calls to the registry take effect one by one, whatever their callers are told."""

import asyncio
import itertools
import math
from pathlib import Path
from random import Random

import pytest

from serinus.core.errors import AlreadyExists, Conflict, NotFound, Refused
from serinus.core.version import Version
from serinus.registry.records import ModelRecord
from serinus.registry.registry import Registry
from serinus.registry.sql.database import open_database
from tests.registry.databases import migrated_url
from tests.registry.drafts import Clock, draft
from tests.registry.histories import Answer, Call, Event, Kind, problem

VERSIONS = ("1.0.0", "1.0.1", "1.1.0", "1.1.1", "2.0.0")
ALIASES = ("stable", "canary")
KINDS: tuple[Kind, ...] = (
    "register",
    "register",
    "set",
    "set",
    "set",
    "remove",
    "archive",
    "restore",
    "delete",
    "read",
)


def seen(record: ModelRecord) -> Answer:
    """As the pure model says it."""
    versions = tuple(sorted((each.identity.number, each.state.value) for each in record.versions))
    aliases = tuple(sorted((alias, named.version_text) for alias, named in record.aliases.items()))
    return "model", record.revision, versions, aliases


async def perform(registry: Registry, model: str, call: Call, actor: str) -> Answer:
    """Make the call; its answer in the pure model's words."""
    try:
        return await _perform(registry, model, call, actor)
    except Conflict as conflict:
        return "conflict", conflict.current_revision
    except AlreadyExists:
        return ("exists",)
    except NotFound as error:
        return "absent", error.field
    except Refused as refused:
        return (refused.reason,)


async def _perform(registry: Registry, model: str, call: Call, actor: str) -> Answer:  # noqa: PLR0911 - one per kind
    expected = call.expected
    match call.kind:
        case "register":
            got = await registry.register(
                draft(call.version, model, content=call.content),
                aliases=[call.alias] if call.alias else [],
                actor=actor,
                expected_revision=expected,
            )
            return "registered", got.is_new, got.record.identity.number, got.revision
        case "set":
            return seen(
                await registry.set_alias(model, call.alias, call.version, actor=actor, expected_revision=expected)
            )
        case "remove":
            return seen(await registry.remove_alias(model, call.alias, actor=actor, expected_revision=expected))
        case "archive":
            got_state = await registry.archive(model, call.version, actor=actor, expected_revision=expected)
            return "state", got_state.state.value
        case "restore":
            got_state = await registry.restore(model, call.version, actor=actor, expected_revision=expected)
            return "state", got_state.state.value
        case "delete":
            version = Version.parse(call.version)
            return "deleted", await registry.delete(model, version, actor=actor, expected_revision=expected)
        case "read":
            return seen(await registry.model(model))


class Run:
    """Callers that act at once on one model, through several servers; some of them go away."""

    def __init__(self, registries: list[Registry], model: str, rng: Random) -> None:
        self.registries = registries
        self.model = model
        self.rng = rng
        self.ticks = itertools.count(1)
        self.known_revision = 0
        self.events: dict[str, Event] = {}

    def call(self) -> Call:
        """Any; most expect what somebody was told last."""
        rng = self.rng
        expected = rng.choice((None, self.known_revision, self.known_revision))
        return Call(
            kind=rng.choice(KINDS),
            version=rng.choice(VERSIONS),
            alias=rng.choice(ALIASES),
            content=rng.choice(("some bytes", "other bytes")),
            expected=expected,
        )

    async def act(self, actor: str) -> None:
        """One call at a random moment."""
        for _ in range(self.rng.randrange(20)):
            await asyncio.sleep(0)
        call, registry = self.call(), self.rng.choice(self.registries)
        begun = next(self.ticks)
        task = asyncio.create_task(perform(registry, self.model, call, actor))
        if self.rng.random() < 0.05:
            for _ in range(self.rng.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            self.events[actor] = Event(call, begun, math.inf, ())
            return
        answer = task.result()
        if answer[0] in {"model", "registered"}:
            self.known_revision = max(self.known_revision, *(x for x in answer[1:] if type(x) is int))
        self.events[actor] = Event(call, begun, next(self.ticks), answer)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("kind", "runs"), [("sqlite", 200), ("postgresql", 40)])
async def test_histories_are_linearizable(kind: str, runs: int, tmp_path: Path):
    """Fifty callers in each tenth run, eight in the others, over two servers; some callers go away."""
    url = await migrated_url(kind, tmp_path)
    async with open_database(url) as one, open_database(url) as other:
        registries = [Registry(each, now=Clock()) for each in (one, other)]
        answers: set[str] = set()
        for seed in range(runs):
            run = Run(registries, f"m{seed}", Random(seed))
            before = await registries[0].current_revision()
            callers = 50 if seed % 10 == 0 else 8
            await asyncio.gather(*(run.act(f"caller {number}") for number in range(callers)))
            if any(not event.answer for event in run.events.values()):
                # What was given up may still be under way: a write behind it has waited for it.
                ends = (registry.register(draft("1.0.0", f"end{seed}"), actor="end") for registry in registries)
                await asyncio.gather(*ends)
            entries = await registries[0].audit(before, model=run.model, limit=1000)
            assert problem(run.events, [(entry.revision, entry.actor) for entry in entries]) == "", f"seed {seed}"
            answers |= {str(event.answer[0]) for event in run.events.values() if event.answer}
        # Otherwise the histories would show little.
        assert answers >= {"registered", "model", "state", "conflict", "exists", "absent", "IN_USE"}
        found = await registries[0].verify_audit()
        assert (found.problem, found.entries) == ("", await registries[0].current_revision())


def event(call: Call, begun: float, ended: float, *answer: object) -> Event:
    """Shorter."""
    return Event(call, begun, ended, answer)


REGISTER = Call("register", "1.0.0", content="x")
FIRST = event(REGISTER, 1, 2, "registered", True, 1, 7)
MOVE = Call("set", "1.0.0", "canary", expected=7)
MOVED = ("model", 8, ((1, "active"),), (("canary", "1.0.0"), ("stable", "1.0.0")))


@pytest.mark.parametrize(
    ("events", "writers", "complaint"),
    [
        ({"a": FIRST, "b": event(MOVE, 3, 4, *MOVED)}, [(7, "a"), (8, "b")], ""),
        ({"a": FIRST, "b": event(MOVE, 3, 4, "conflict", 7)}, [(7, "a"), (8, "b")], "should have been answered"),
        ({"a": FIRST, "b": event(MOVE, 3, 4, *MOVED)}, [(7, "a")], "right at no place"),
        ({"a": FIRST, "b": event(MOVE, 3, 4, "absent", "model")}, [(7, "a")], "right at no place from 1"),
        ({"a": FIRST, "b": event(MOVE, 1, 4, "absent", "model")}, [(7, "a")], ""),
        (
            {"a": FIRST, "b": event(MOVE, 3, 4, *MOVED), "c": event(MOVE, 3, 5, *MOVED)},
            [(7, "a"), (8, "b")],
            "right at no place",
        ),
        ({"a": FIRST, "b": event(MOVE, 3, 4, *MOVED)}, [(7, "a"), (8, "b"), (9, "b")], "should have written nothing"),
        ({"a": FIRST, "b": event(Call("read"), 3, 4, "absent", "model")}, [(7, "a")], "right at no place"),
        (
            {
                "a": FIRST,
                "b": event(Call("set", "1.0.0", "canary"), 3, 9, *MOVED),
                "c": event(Call("read"), 4, 5, *MOVED),
                "d": event(Call("read"), 6, 7, "model", 7, ((1, "active"),), (("stable", "1.0.0"),)),
            },
            [(7, "a"), (8, "b")],
            "right at no place from 2",
        ),
        ({"a": FIRST, "b": Event(MOVE, 3, math.inf, ())}, [(7, "a"), (8, "b")], ""),
        ({"a": FIRST, "b": Event(MOVE, 3, math.inf, ())}, [(7, "a")], ""),
        (
            {
                "a": FIRST,
                "b": event(Call("set", "1.0.0", "canary"), 5, 6, *MOVED),
                "c": event(Call("read"), 3, 4, *MOVED),
            },
            [(7, "a"), (8, "b")],
            "right at no place",
        ),
    ],
)
def test_the_checker_tells_right_from_wrong(events: dict[str, Event], writers: list[tuple[int, str]], complaint: str):
    """A checker that complains of nothing would prove nothing."""
    found = problem(events, writers)
    assert complaint in found
    assert bool(found) == bool(complaint)
