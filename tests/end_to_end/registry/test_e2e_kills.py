"""Row 71 on a running server: killed at any moment of a registration, it has it or has it not, and loses no other."""

import asyncio
import contextlib
import os
import random
from pathlib import Path

from serinus_client import SerinusError
from tests.end_to_end.registry.nursery import Nursery
from tests.end_to_end.registry.places import Place, eventually, sqlite_place, times
from tests.support.disks import files_below, sha256

KILLS = 14
PADDING = 200_000  # floats: a file that takes a moment to be written
TABLES = "[registry]\norphan_age_s = 60\n"
LONGEST_S = 1.2  # of a registration; most of it is its examination


def content(number: int) -> bytes:
    return times(number, padding=PADDING)


def version(number: int) -> str:
    return f"1.0.{number}"


async def test_a_registration_that_a_kill_interrupts_is_in_or_out(forks: Nursery, home: Path):
    """Many times on one folder; what was acknowledged is there, what is there is whole, and nothing is left of what
    is not there. Half of the kills come at any time, half when the files are being written."""
    rng = random.Random(71)
    acknowledged: set[int] = {0}
    registered: set[int] = {0}
    async with sqlite_place(forks, home / "one", tables=TABLES) as one:
        await one.register("m", version(0), times(2))
    for number in range(1, KILLS + 1):
        async with sqlite_place(forks, home / "one", tables=TABLES) as one:
            registered = await _check(one, registered, acknowledged, number - 1)
            registering = asyncio.create_task(one.register("m", version(number), content(number)))
            if number % 2:
                await asyncio.wait((registering,), timeout=rng.uniform(0, LONGEST_S))
            else:
                await eventually(lambda number=number, wanted=registering: _writes(one, number, wanted))
                await asyncio.wait((registering,), timeout=rng.uniform(0, 0.03))
            if registering.done():
                acknowledged.add(number)
            await one.server.kill()
            with contextlib.suppress(SerinusError):
                await registering
                acknowledged.add(number)
    assert len(registered) < KILLS, "some were interrupted"
    await _check_the_end(forks, home, registered, acknowledged)


async def _writes(one: Place, number: int, registering: "asyncio.Task[object]") -> bool:
    """Whether the file is being kept, or is kept already."""
    artifacts = one.folder / "state" / "artifacts"
    return registering.done() or any((artifacts / "tmp").glob("*")) or _blob(one, number).exists()


def _blob(one: Place, number: int) -> Path:
    digest = sha256(content(number))
    return one.folder / "state" / "artifacts" / "sha256" / digest[:2] / digest[2:]


async def _check(one: Place, before: set[int], acknowledged: set[int], last: int) -> set[int]:
    """Look at what a kill has left, and return which versions are registered."""
    await one.check_registry()
    found = {int(each.version.rpartition(".")[2]) for each in (await one.client.registry.model("m")).versions}
    assert acknowledged <= found, "what was acknowledged is there"
    assert found - before <= {last}, "what was not interrupted is as it was"
    entries = [entry.version async for entry in one.client.admin.list_audit()]
    assert sorted(entries) == sorted(version(number) for number in found), "an entry for each, and no other"
    assert await one.factor("m") == 2
    if last and last in found:
        file = await one.client.registry.download("m", version(last), "", one.folder / "back.onnx")
        assert file.read_bytes() == content(last)
    staged = files_below(one.folder / "state" / "staging")
    assert [path for path in staged if not path.endswith(".lock")] == [], "the upload is gone"
    assert len(staged) == 1, "one lock: the server's own"
    return found


async def _check_the_end(forks: Nursery, home: Path, registered: set[int], acknowledged: set[int]) -> None:
    """What was cut off can be registered after all, and what is left of it goes when it is old."""
    artifacts = home / "one" / "state" / "artifacts"
    async with sqlite_place(forks, home / "one", tables=TABLES) as one:
        registered = await _check(one, registered, acknowledged, KILLS)
        missing = max(set(range(1, KILLS)) - registered)
        assert (await one.register("m", version(missing), content(missing))).created
        assert await one.client.admin.load_model("m", version(missing))
        assert await one.factor("m", version(missing)) == missing
    for file in artifacts.rglob("*"):
        os.utime(file, (0, 0))
    async with sqlite_place(forks, home / "one", tables=TABLES) as one:
        used = {sha256(content(number)) for number in registered | {missing} if number} | {sha256(times(2))}
        await eventually(lambda: _holds(artifacts, used))
        await one.check_registry()


async def _holds(artifacts: Path, used: set[str]) -> bool:
    blobs = {path.parent.name + path.name for path in (artifacts / "sha256").glob("*/*")}
    return blobs == used and not any((artifacts / "tmp").iterdir())
