"""Workers without processes: a test decides when each is ready and how it ends."""

import asyncio
import itertools
from collections.abc import Mapping

from serinus.workers.control import Body, ChannelLost, Handler
from serinus.workers.facts import Company


class FakeWorker:
    """A worker that does what its test does to it; `told` is what it was told."""

    def __init__(self, index: int, pid: int, handlers: Mapping[str, Handler], *, started_s: float) -> None:
        self.index = index
        self.pid = pid
        self.handlers = handlers
        self.started_unix_s = started_s
        self.started_s = started_s
        self.ready = asyncio.Event()
        self.announced: Body = {}
        self.refused = ""
        self.was_told = False
        self.gone = asyncio.Event()
        self.how = ""
        self.told: list[object] = []
        self.answers: dict[str, Body] = {"alive": {}}

    def __repr__(self) -> str:
        return f"<FakeWorker {self.index} [{self.pid}]>"

    def serve(self, **announced: object) -> None:
        self.announced = announced
        self.ready.set()

    def end(self, how: str) -> None:
        self.how = how
        self.gone.set()

    async def listen(self) -> None:
        await self.gone.wait()

    async def ask(self, kind: str, body: Body, *, timeout_s: float) -> Body:
        if kind not in self.answers:
            await asyncio.sleep(timeout_s)
            raise TimeoutError
        if self.gone.is_set():
            raise ChannelLost("nobody is there")
        return {**self.answers[kind], **body}

    async def leave(self, patience_s: float, company: Company) -> None:
        self.was_told = True
        self.told.append((patience_s, company))
        await self.gone.wait()

    def kill(self) -> None:
        self.told.append("kill")
        self.end("signal 9")


class FakeWorkers:
    """Starts them; `begun` are all of them in order."""

    def __init__(self) -> None:
        self.begun: list[FakeWorker] = []
        self.failures: list[OSError] = []
        self._pids = itertools.count(100)
        self._more = asyncio.Event()

    def __call__(self, index: int, *, handlers: Mapping[str, Handler]) -> FakeWorker:
        if self.failures:
            raise self.failures.pop(0)
        worker = FakeWorker(index, next(self._pids), handlers, started_s=asyncio.get_running_loop().time())
        self.begun.append(worker)
        self._more.set()
        return worker

    async def number(self, count: int) -> FakeWorker:
        """The one that was started as the so many-th, once it was."""
        while len(self.begun) < count:
            self._more.clear()
            await self._more.wait()
        return self.begun[count - 1]
