"""A worker as a real process: heard, told, killed, and what is learned of its end."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.workers.control import ChannelLost
from serinus.workers.facts import Company, WorkerEnd
from serinus.workers.process import Launch, WorkerProcess
from serinus.workers.seat import Assignment

SCRIPT = Path(__file__).with_name("small_worker.py")


async def settings(_body: dict) -> dict:
    return {"a": "setting"}


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


class Started:
    """A process, and how it ended."""

    def __init__(self, manner: str) -> None:
        self.end: WorkerEnd | None = None
        self.record = ""
        launch = Launch((sys.executable, str(SCRIPT), manner), count=4)
        self.process = WorkerProcess(launch, 3, handlers={"settings": settings}, on_end=self._ended)

    def _ended(self, end: WorkerEnd) -> None:
        self.end = end
        self.record = os.pread(end.record, 16, 0).rstrip(b"\0").decode()


@contextlib.asynccontextmanager
async def worker(manner: str = "obedient"):
    """A process that listens; killed if it is left."""
    started = Started(manner)
    listening = asyncio.create_task(started.process.listen())
    try:
        yield started
    finally:
        started.process.kill()
        async with asyncio.timeout(60):
            await listening
        assert started.end is not None


async def test_a_worker_is_told_what_to_do_and_says_when_it_does():
    """Both ask; its place and process number are its own."""
    async with worker() as started:
        process = started.process
        await asyncio.wait_for(process.ready.wait(), 60)
        assert process.announced == {"a": "setting"}
        assert await process.ask("pid", {}, timeout_s=60) == {"pid": process.pid, "place": "3/4"}


@pytest.mark.parametrize(("company", "record"), [(Company.STAYS, "True"), (Company.LEAVES, "False")])
async def test_a_worker_that_is_told_to_leave_goes_by_itself(company, record):
    """It hears whether others stay; what it wrote into its record is there afterwards."""
    async with worker() as started:
        await asyncio.wait_for(started.process.ready.wait(), 60)
        await started.process.leave(60, company)
        assert started.end == WorkerEnd(3, started.process.pid, "exit 0", True, False, started.end.record)
        assert started.record == record
        with pytest.raises(ChannelLost):
            await started.process.ask("pid", {}, timeout_s=60)


async def test_a_worker_that_does_not_go_is_killed():
    """After the time that it was given."""
    async with worker("deaf") as started:
        await asyncio.wait_for(started.process.ready.wait(), 60)
        await started.process.leave(0.2, Company.STAYS)
        assert (started.end.how, started.end.was_told, started.process.how) == ("signal 9", True, "signal 9")


async def test_a_worker_that_dies_is_known_to_have_died():
    """Of what, and that nobody told it to."""
    async with worker() as started:
        await asyncio.wait_for(started.process.ready.wait(), 60)
        os.kill(started.process.pid, signal.SIGSEGV)
        await asyncio.wait_for(started.process.gone.wait(), 60)
        assert (started.end.how, started.end.was_told) == ("signal 11", False)


async def test_nothing_is_left_open():
    """Workers come and go for months."""
    async with worker():
        pass
    before = descriptors()
    async with worker():
        pass
    assert descriptors() == before


async def test_a_program_that_does_not_exist_is_an_error_of_the_system():
    """Which is tried again; nothing of the attempt is left."""
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        WorkerProcess(Launch(("/nowhere",), count=1), 1, handlers={}, on_end=lambda _: None)
    assert descriptors() == before


def test_a_worker_whose_supervisor_is_gone_already_does_not_begin():
    """It died between starting the process and the process's first line: nobody would ever end it."""
    nobody = 2**22  # larger than any process number
    command = [sys.executable, SCRIPT, "obedient", "1/1", "0", "0", str(nobody)]
    assert subprocess.run(command, check=False).returncode == os.EX_TEMPFAIL


@pytest.mark.parametrize("arguments", [[], ["1/2", "3", "4"], ["a/b", "1", "2", "3"], ["12", "1", "2", "3"]])
def test_a_command_line_that_is_no_place_is_refused(arguments):
    """Somebody tries it by hand."""
    with pytest.raises(ValueError, match="expected a place"):
        Assignment.read(arguments)


def test_a_place_is_read_as_it_was_written():
    """The supervisor writes it, the worker reads it."""
    written = Launch(("python", "-m", "serinus", "worker"), count=8).arguments(2, channel=5, record=6)
    assert Assignment.read(written[4:]) == Assignment(index=2, count=8, channel=5, record=6, supervisor=os.getpid())
