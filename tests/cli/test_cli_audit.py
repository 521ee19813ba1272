"""`serinus audit` on a registry in memory, and on a database without a server."""

import asyncio
import contextlib
import datetime as dt
import json
import sqlite3

import pytest

from serinus.registry.registry import Registry
from serinus.registry.sql.database import open_database
from serinus_api.v1 import admin_pb2
from tests.registry.drafts import draft

HASH = "ab" * 32


def test_the_writes_are_listed(tell, registry):
    """All of them, or one model's."""
    registry.add("m", "1.0.0")
    registry.add("n", "1.0.0")
    lines = tell("audit", "list").out.splitlines()
    assert lines[1].split() == [
        *("1", "2023-11-14T22:13:20Z", "somebody", "version.register", "m", "1.0.0", '{"revision":', "1}")
    ]
    assert len(lines) == 3
    (found,) = json.loads(tell("audit", "list", "--model", "n", "--after", "1", "--json").out)
    assert (found["revision"], found["before"], found["after"]) == (2, {}, {"revision": 2})
    assert len(json.loads(tell("audit", "list", "--limit", "1", "--json").out)) == 1


def test_a_whole_chain_is_exit_code_0(tell, registry):
    """And its head is told, to be kept elsewhere."""
    registry.audit = admin_pb2.VerifyAuditResponse(entries=2, head=HASH)
    ended = tell("audit", "verify")
    assert (ended.code, ended.out) == (0, f"whole: 2 writes, head {HASH}\n")
    assert json.loads(tell("audit", "verify", "--expect-head", HASH, "--json").out) == {
        "entries": 2, "first_broken": 0, "problem": "", "head": HASH, "has_expected_head": True, "whole": True,
    }  # fmt: skip


def test_a_broken_chain_is_exit_code_1(tell, registry):
    """With the place and what is wrong there."""
    registry.audit = admin_pb2.VerifyAuditResponse(entries=2, first_broken=2, problem="entry 2 was changed", head=HASH)
    ended = tell("audit", "verify")
    assert (ended.code, ended.out) == (1, "broken at revision 2: entry 2 was changed\n")


def test_a_head_of_before_must_be_in_the_chain(tell, registry):
    """As the last entry or an earlier one."""
    registry.add("m", "1.0.0")
    registry.add("m", "1.1.0")
    assert tell("audit", "verify", "--expect-head", f"{1:064x}").code == 0
    ended = tell("audit", "verify", "--expect-head", f"{9:064x}")
    assert (ended.code, ended.out.startswith("the expected head is not in the chain")) == (1, True)
    assert tell("audit", "verify", "--expect-head", "abc").code == 2


@pytest.fixture
def state(tmp_path):
    """A state folder with three writes, and the head of the second."""

    async def write() -> str:
        async with open_database(f"sqlite:///{tmp_path / 'registry.db'}") as database:
            registry = Registry(database, now=lambda: dt.datetime.now(dt.UTC))
            for version in ("1.0.0", "1.1.0", "1.2.0"):
                await registry.register(draft(version), actor="ann")
            return (await registry.audit(1, limit=1))[0].hash

    return tmp_path, asyncio.run(write())


def test_a_database_is_checked_without_a_server(serinus, state):
    """By its state folder or its URL; a head of before counts here too."""
    folder, middle = state
    ended = serinus("audit", "verify", "--state", folder, "--expect-head", middle)
    assert (ended.code, ended.out.startswith("whole: 3 writes, head ")) == (0, True)
    ended = serinus("audit", "verify", "--database", f"sqlite:///{folder / 'registry.db'}", "--expect-head", HASH)
    assert (ended.code, ended.out.startswith("the expected head is not in the chain of 3 writes")) == (1, True)


def test_a_database_that_was_changed_is_told(serinus, state):
    """By somebody who knows SQL."""
    folder, _ = state
    with contextlib.closing(sqlite3.connect(folder / "registry.db")) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("UPDATE audit SET actor = 'eve' WHERE revision = 2")
    ended = serinus("audit", "verify", "--state", folder, "--json")
    assert (ended.code, json.loads(ended.out)["first_broken"]) == (1, 2)


def test_looking_makes_no_registry(serinus, tmp_path):
    """Where there is none."""
    ended = serinus("audit", "verify", "--state", tmp_path)
    assert (ended.code, ended.out, list(tmp_path.iterdir())) == (1, "", [])
    assert ended.err.startswith("error: there is no registry: ")
    assert serinus("audit", "verify", "--database", "mysql://x").code == 2
    assert serinus("audit", "verify", "--database", "sqlite:///x", "--state", tmp_path).code == 2
