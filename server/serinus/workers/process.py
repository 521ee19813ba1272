"""One worker as a process: spawned, heard through its channel, ended by a word or a signal, and reaped."""

import asyncio
import contextlib
import dataclasses
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from serinus.telemetry.logs import get_logger
from serinus.workers.control import Body, ChannelLost, ControlChannel, Handler, NotAnswered
from serinus.workers.crash_record import new_record
from serinus.workers.facts import Company, WorkerEnd

log = get_logger("serinus.workers")

_HEARD_S = 5.0  # a worker that is not stuck hears in milliseconds
_STANDARD_ERROR = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """How processes are started.

    Attributes:
        command: Program and first arguments; place, number of places, the descriptors of channel and record, and the
            supervisor's process number follow.
        count: How many places there are.
    """

    command: Sequence[str]
    count: int

    def arguments(self, index: int, *, channel: int, record: int) -> list[str]:
        """The whole command line; nothing in it is secret."""
        return [*self.command, f"{index}/{self.count}", str(channel), str(record), str(os.getpid())]


class WorkerProcess:
    """A process that serves in a place. Starting → ready → leaving → gone; it may go from anywhere.

    Made inside the event loop. It is over when `gone` is set; until then somebody must wait for it, or kill it.

    Args:
        launch: How to start it.
        index: Its place, from 1.
        handlers: What it may ask; "ready" and "refused" are answered here.
        on_end: Called when it has ended.

    Raises:
        OSError: it cannot be started.

    Attributes:
        pid: Its number.
        started_unix_s: When it was started.
        started_s: The same as `time.monotonic()`.
        ready: Set once it serves.
        announced: What it said then.
        refused: Why it cannot serve as it was told, in a sentence; "" until it says so.
        was_told: Whether it was told to leave.
        gone: Set once it has ended.
        how: How it ended; "" until then.
    """

    def __init__(
        self, launch: Launch, index: int, *, handlers: Mapping[str, Handler], on_end: Callable[[WorkerEnd], None]
    ) -> None:
        self.index = index
        self.ready = asyncio.Event()
        self.announced: Body = {}
        self.refused = ""
        self.was_told = False
        self.gone = asyncio.Event()
        self.how = ""
        self.started_unix_s = time.time()
        self.started_s = time.monotonic()
        self._is_stuck = False
        self._heard = handlers
        self._handlers = {
            **handlers,
            "ready": self._heard_ready,
            "refused": self._heard_refused,
            "stuck": self._heard_stuck,
        }
        self._on_end = on_end
        self._channel: ControlChannel | None = None
        self._record = new_record()
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._record)
            self._connection, self._process = self._spawn(launch)
            undo.callback(self._connection.close)
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            # Told by the kernel: no thread waits, and nobody else's children are reaped.
            self._exited = os.pidfd_open(self._process.pid)
            undo.pop_all()
        self.pid = self._process.pid
        asyncio.get_running_loop().add_reader(self._exited, self._reap)

    def __repr__(self) -> str:
        state = self.how or ("ready" if self.ready.is_set() else "starting")
        return f"<WorkerProcess {self.index} [{self.pid}, {state}]>"

    async def listen(self) -> None:
        """Answer what it asks until it is gone. Whoever is cancelled here leaves it running."""
        async with await ControlChannel.over(self._connection, self._handlers) as channel:
            self._channel = channel
            await self.gone.wait()

    async def ask(self, kind: str, body: Body, *, timeout_s: float) -> Body:
        """What it answers; as `ControlChannel.request`."""
        if self._channel is None:
            raise ChannelLost(f"{kind}: nobody listens yet")
        return await self._channel.request(kind, body, timeout_s=timeout_s)

    async def leave(self, patience_s: float, company: Company) -> None:
        """Tell it to answer its calls and go; kill it if it is not gone after `patience_s`."""
        self.was_told = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._tell(company)
                await self.gone.wait()
        if not self.gone.is_set():
            log.warning("worker killed", worker=self.index, pid=self.pid, reason="it did not leave in time")
            self.kill()
            await self.gone.wait()

    async def _tell(self, company: Company) -> None:
        """By a message; by SIGTERM while it does not listen yet."""
        try:
            await self.ask("leave", {"others_stay": company is Company.STAYS}, timeout_s=_HEARD_S)
        except (ChannelLost, NotAnswered, TimeoutError):
            if not self.gone.is_set():
                self._process.terminate()

    def kill(self) -> None:
        """End it at once; `gone` follows."""
        if not self.gone.is_set():
            self._process.kill()

    def _spawn(self, launch: Launch) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        mine, theirs = socket.socketpair()
        with theirs:
            channel = theirs.fileno()
            try:
                process = subprocess.Popen(  # noqa: S603 - the command is ours
                    launch.arguments(self.index, channel=channel, record=self._record),
                    stdin=subprocess.DEVNULL,
                    stdout=_STANDARD_ERROR,  # standard output is the supervisor's, for programs
                    pass_fds=(channel, self._record),
                )
            except BaseException:
                mine.close()
                raise
        return mine, process

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._exited)
        os.close(self._exited)
        code = self._process.wait()
        self.how = f"exit {code}" if code >= 0 else f"signal {-code}"
        self.gone.set()
        try:
            self._on_end(WorkerEnd(self.index, self.pid, self.how, self.was_told, self._is_stuck, self._record))
        except Exception:
            log.exception("end of a worker not taken in: a bug")  # a callback's outermost frame
        finally:
            os.close(self._record)

    async def _heard_ready(self, body: Body) -> Body:
        self.announced = body
        self.ready.set()
        return {}

    async def _heard_stuck(self, body: Body) -> Body:
        self._is_stuck = True
        return await self._heard["stuck"](body)

    async def _heard_refused(self, body: Body) -> Body:
        self.refused = str(body.get("sentence", ""))
        return {}
