"""Workers that answer as they are told, without processes."""

import asyncio
from collections.abc import Sequence

from serinus.workers.control import Body, ChannelLost, NotAnswered
from serinus.workers.facts import Failure, WorkerFacts, WorkerState


def facts(index: int, state: WorkerState = WorkerState.READY, *, restarts: int = 0, last_end: str = "") -> WorkerFacts:
    """A worker with process number 100 and its index."""
    return WorkerFacts(index, 100 + index, state, float(index), restarts, last_end)


class FakeCrew:
    """A `Crew` in memory.

    Attributes:
        present: Its workers.
        answers: What a worker answers, by its index; an exception is raised. Without one: {}.
        asked: What for: index, kind, body.
        gate: Nobody answers while it is not set.
    """

    def __init__(self, *indexes: int) -> None:
        self.present: list[WorkerFacts] = [facts(index) for index in indexes]
        self.answers: dict[int, Body | Exception] = {}
        self.asked: list[tuple[int, str, Body]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._more = asyncio.Condition()

    async def was_asked(self, times: int) -> None:
        """Wait until somebody was asked so often."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.asked) >= times)

    def workers(self) -> Sequence[WorkerFacts]:
        return tuple(self.present)

    async def ask(self, index: int, kind: str, body: Body, *, timeout_s: float) -> Body:
        assert timeout_s > 0
        async with self._more:
            self.asked.append((index, kind, body))
            self._more.notify_all()
        await self.gate.wait()
        answer = self.answers.get(index, {})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask_all(self, kind: str, body: Body, *, timeout_s: float) -> dict[int, Body | Failure]:
        found: dict[int, Body | Failure] = {}
        for worker in self.present:
            try:
                found[worker.index] = await self.ask(worker.index, kind, body, timeout_s=timeout_s)
            except (ChannelLost, NotAnswered, TimeoutError) as error:
                found[worker.index] = Failure(str(error))
        return found
