"""Several processes on one registry: they take turns, and one that is killed leaves each write in or out."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.registry.failpoints import Failpoint
from serinus.registry.registry import Registry
from serinus.registry.sql.database import open_database
from tests.registry.databases import clock, database, kind, migrated_url, registry, url
from tests.registry.drafts import Clock, draft

__all__ = ["clock", "database", "kind", "registry", "url"]

FAILPOINTS = (Failpoint.TRANSACTION_BEGUN, Failpoint.ROWS_WRITTEN, Failpoint.COMMITTED)


async def run(url: str, *arguments: str) -> tuple[int, list[int]]:
    """The exit status of a writing process, and the revisions that it was answered."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.registry.writer_process", url, *arguments, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [int(line) for line in output.split()]


async def register_shared(registry: Registry) -> None:
    """What all processes write to; revisions 1 and 2."""
    for version in ("1.0.0", "1.0.1"):
        await registry.register(draft(version, "shared"), actor="ann")


async def test_processes_take_turns(registry: Registry, url: str):
    """Every answered write has a revision of its own, no revision is missing, and the audit is one chain."""
    await register_shared(registry)

    async def write_here() -> list[int]:
        return [
            (await registry.set_notes("shared", "1.0.0", str(number), actor="here")).revision for number in range(40)
        ]

    (one, answered_one), (two, answered_two), here = await asyncio.gather(
        run(url, "one", "30"), run(url, "two", "30"), write_here()
    )
    assert (one, two) == (0, 0)
    assert sorted([*answered_one, *answered_two, *here]) == list(range(3, 3 + 31 + 31 + 40))
    found = await registry.verify_audit()
    assert (found.problem, found.entries) == ("", 104)
    by_actor = [[entry.revision for entry in await registry.audit(0, limit=200) if entry.actor == "one"]]
    assert by_actor == [answered_one]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_process_killed_at_any_point_of_a_write_leaves_it_in_or_out(kind: str, tmp_path: Path, clock: Clock):
    """Registering and moving an alias; what was answered is there, and the next process goes on."""

    async def die(failpoint: Failpoint, revision: int) -> None:
        folder = tmp_path / f"{failpoint.name}{revision}"
        folder.mkdir()
        url = await migrated_url(kind, folder)
        async with open_database(url) as database:
            registry = Registry(database, now=clock)
            await register_shared(registry)
            status, answered = await run(url, "killed", "3", failpoint.name, str(revision))
            assert (status, answered) == (-signal.SIGKILL, list(range(3, revision + 1)))
            there = 2 + len(answered) + (failpoint is Failpoint.COMMITTED)
            assert await registry.current_revision() == there
            snapshot = await registry.snapshot()
            assert ("killed" in snapshot.models) == (there > 2)
            assert ("killed" in snapshot.models["shared"].aliases) == (there > 3)
            assert (await registry.set_notes("shared", "1.0.0", "on", actor="ann")).revision == there + 1
            assert (await registry.verify_audit()).problem == ""

    # 0: the process dies in its first write, which registers; 3: in its second one, which sets an alias.
    await asyncio.gather(*(die(failpoint, revision) for failpoint in FAILPOINTS for revision in (0, 3)))
