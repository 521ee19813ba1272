"""Decides whether what concurrent callers of a registry saw can be explained by one order of their calls.

The registry's revisions say in which order writes took effect. So every write is replayed on a pure model in that order
and must have been answered as the model answers; every other answer (a refusal, a read, a write that changed nothing)
must be the model's at some revision that lies between the call's begin and its end in real time.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Kind = Literal["register", "set", "remove", "archive", "restore", "delete", "read"]
Answer = tuple[Any, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What one caller asks of the one model.

    Attributes:
        kind: Of call.
        version: Which it is about.
        alias: Which it sets or removes; for "register" "" for none.
        content: Of the registered file.
        expected: The revision to compare with, or None.
    """

    kind: Kind
    version: str = ""
    alias: str = ""
    content: str = ""
    expected: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """The model at one revision; 0 if it is not there."""

    revision: int = 0
    versions: Mapping[str, tuple[int, str, str]] = dataclasses.field(default_factory=dict)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def apply(self, call: Call, revision: int) -> tuple["State", Answer]:  # noqa: PLR0911 - a table of cases
        """The state after `call` as write number `revision`, this very state if it writes nothing, and its answer."""
        if call.kind == "register":
            return self._register(call, revision)
        if not self.revision:
            return self, ("absent", "model")
        if call.kind == "read":
            return self, self.seen()
        if call.expected not in {None, self.revision}:
            return self, ("conflict", self.revision)
        if call.kind == "remove":
            if call.alias not in self.aliases:
                return self, ("absent", "alias")
            rest = {alias: version for alias, version in self.aliases.items() if alias != call.alias}
            return self._written(revision, aliases=rest)
        return self._change(call, revision)

    def seen(self) -> Answer:
        """What a reader of the whole model sees."""
        living = sorted((number, state) for number, state, _ in self.versions.values() if state != "deleted")
        return "model", self.revision, tuple(living), tuple(sorted(self.aliases.items()))

    def _register(self, call: Call, revision: int) -> tuple["State", Answer]:
        if (old := self.versions.get(call.version)) is not None:
            is_same = old[1] != "deleted" and old[2] == call.content
            return self, ("registered", False, old[0], self.revision) if is_same else ("exists",)
        if call.expected not in {None, self.revision}:
            return self, ("conflict", self.revision)
        number = len(self.versions) + 1
        first = all(state == "deleted" for _, state, _ in self.versions.values())
        new = {alias: call.version for alias in (call.alias, "stable" if first else "") if alias}
        state, _ = self._written(
            revision,
            versions={**self.versions, call.version: (number, "active", call.content)},
            aliases={**self.aliases, **new},
        )
        return state, ("registered", True, number, revision)

    def _change(self, call: Call, revision: int) -> tuple["State", Answer]:  # noqa: PLR0911 - a table of cases
        number, state, content = self.versions.get(call.version, (0, "", ""))
        if call.kind == "delete" and state == "deleted":
            return self, ("deleted", self.revision)
        if state in {"", "deleted"}:
            return self, ("absent", "version")
        if call.kind == "set":
            if self.aliases.get(call.alias) == call.version:
                return self, self.seen()
            return self._written(revision, aliases={**self.aliases, call.alias: call.version})
        if call.kind == "delete":
            if call.version in self.aliases.values():
                return self, ("IN_USE",)
            after, _ = self._written(revision, versions={**self.versions, call.version: (number, "deleted", content)})
            return after, ("deleted", revision)
        wanted = "archived" if call.kind == "archive" else "active"
        if state == wanted:
            return self, ("state", wanted)
        after, _ = self._written(revision, versions={**self.versions, call.version: (number, wanted, content)})
        return after, ("state", wanted)

    def _written(self, revision: int, **changed: Any) -> tuple["State", Answer]:
        after = dataclasses.replace(self, revision=revision, **changed)
        return after, after.seen()


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One call and how it went.

    Attributes:
        call: What was asked.
        begun: When, on a clock that counts events.
        ended: When it was answered; infinity if its caller went away.
        answer: What was answered; () if its caller went away.
    """

    call: Call
    begun: float
    ended: float
    answer: Answer


def problem(events: Mapping[str, Event], writers: Sequence[tuple[int, str]]) -> str:
    """Why no order of the calls explains their answers; "" if one does.

    Args:
        events: Every call, by the actor that made it; no actor made two.
        writers: Revision and actor of every entry of the audit, in its order.
    """
    states = [State()]
    revision_of: dict[str, int] = {}
    for revision, actor in writers:
        event = events[actor]
        after, answer = states[-1].apply(event.call, revision)
        if after is states[-1]:
            return f"{event} wrote revision {revision} of {states[-1]}, and should have written nothing"
        if event.answer not in {(), answer}:
            return f"{event} wrote revision {revision} of {states[-1]}, and should have been answered {answer}"
        if actor in revision_of:
            return f"{event} was written twice"
        states.append(after)
        revision_of[actor] = len(states) - 1
    return _order_problem(events, revision_of, states)


def _order_problem(events: Mapping[str, Event], place_of: Mapping[str, int], states: Sequence[State]) -> str:
    """Place what wrote nothing as early as it fits; whatever ended before a call began is placed before it."""
    placed: list[tuple[float, int]] = []
    for actor, event in sorted(events.items(), key=lambda item: item[1].ended):
        if math.isinf(event.ended) and actor not in place_of:
            continue
        earliest = max((place for ended, place in placed if ended < event.begun), default=0)
        begun_later = (place for other, place in place_of.items() if events[other].begun > event.ended)
        latest = min(begun_later, default=len(states)) - 1
        if (place := place_of.get(actor)) is not None:
            if not earliest <= place <= latest:
                return f"{event} took effect at place {place}, outside of {earliest} to {latest}"
        else:
            fits = (
                at
                for at in range(earliest, latest + 1)
                if states[at].apply(event.call, 0) == (states[at], event.answer)
            )
            place = next(fits, None)
            if place is None:
                return f"{event} has an answer that is right at no place from {earliest} to {latest}"
        placed.append((event.ended, place))
    return ""
