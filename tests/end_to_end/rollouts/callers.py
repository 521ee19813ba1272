"""Callers who ask on and on while something else happens, slowly enough for copies of calls, and check each answer."""

import asyncio
import collections
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from serinus_client import AsyncClient, SerinusError
from tests.support.running_clock import RunningClock, running_clock

Arrays = Mapping[str, npt.NDArray[Any]]

PAUSE_S = 0.02
CALLERS = 4


@dataclasses.dataclass(frozen=True)
class Question:
    """One call, and what each version answers to it.

    Attributes:
        inputs: Of the call.
        answers: By version; no other one may answer.
        options: Of the call, such as `routing_key`.
    """

    inputs: Arrays
    answers: Mapping[str, Arrays]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Tally:
    """What callers got.

    Attributes:
        answered: Calls by the version that answered.
        routes: Calls by why it was chosen.
        rescued: Of them those that another than the chosen version answered, by the reason.
        wrong: Answers that are not what their version answers, a sentence each.
        failed: Calls that ended with an error.
        took_s: Seconds of each call, without those in which the machine stood still.
    """

    answered: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    routes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    rescued: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)
    failed: list[SerinusError] = dataclasses.field(default_factory=list)
    took_s: list[float] = dataclasses.field(default_factory=list)

    def assert_untroubled(self) -> None:
        """Every call was answered, and every answer was right."""
        assert self.took_s, "nobody called"
        assert (self.failed[:3], self.wrong[:3]) == ([], []), f"{len(self.failed)} failed, {len(self.wrong)} wrong"


@contextlib.asynccontextmanager
async def calling(
    client: AsyncClient,
    model: str,
    questions: Sequence[Question] | Callable[[], Question],
    *,
    callers: int = CALLERS,
    pause_s: float = PAUSE_S,
) -> AsyncIterator[Tally]:
    """Callers who ask one question after the other while the block runs; those that were asked last are answered."""
    tally, over = Tally(), asyncio.Event()
    endless: Iterator[Question] = (
        iter(questions, None) if callable(questions) else itertools.cycle(questions)  # type: ignore[arg-type] # a question is never None
    )

    async def call(clock: RunningClock) -> None:
        while not over.is_set():
            await _ask(client, model, next(endless), tally, clock)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), pause_s)

    clock = running_clock()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call(clock))
        try:
            yield tally
        finally:
            over.set()


async def _ask(client: AsyncClient, model: str, question: Question, tally: Tally, clock: RunningClock) -> None:
    """Make one call, and write down how it ended."""
    started = clock.now()
    try:
        answer = await client.call(model, question.inputs, **question.options)
    except SerinusError as error:
        tally.failed.append(error)
        return
    tally.took_s.append(clock.now() - started)
    tally.answered[answer.version] += 1
    tally.routes[answer.route] += 1
    if answer.fallback:
        tally.rescued[answer.fallback_reason] += 1
    expected = question.answers.get(answer.version)
    if expected is None:
        tally.wrong.append(f"{answer.version} answered, which nobody expects to")
    elif not is_same(answer.outputs, expected):
        tally.wrong.append(f"{answer.version} answered otherwise than it does: {answer}")


def is_same(outputs: Arrays, expected: Arrays) -> bool:
    """Whether an answer is what it should be, as exactly as runs with more or fewer rows agree."""
    return outputs.keys() == expected.keys() and all(
        np.allclose(outputs[name], expected[name], rtol=1e-4, atol=1e-4) for name in expected
    )
