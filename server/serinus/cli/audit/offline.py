"""Checks the audit in a database, where no server runs."""

import asyncio
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from serinus.cli.audit.verdict import Verdict
from serinus.cli.output import CommandFailed, ExitCode
from serinus.config.errors import ConfigError
from serinus.core.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serinus.registry.records import AuditEntry

_SQLITE = "sqlite:///"
_ENTRIES_AT_ONCE = 1000


class Audit(Protocol):
    """Reads entries behind a revision, oldest first."""

    async def __call__(self, after_revision: int, *, limit: int) -> "Sequence[AuditEntry]":
        """At most `limit` of them."""
        ...


async def verify_database(url: str, expect_head: str) -> Verdict:
    """Look at the whole chain in the database at `url`.

    Raises:
        CommandFailed: it cannot be read.
    """
    # Here and not above: the database's package takes half a second that the other commands would wait for.
    from serinus.registry.registry import Registry  # noqa: PLC0415 - the same
    from serinus.registry.sql.database import open_database  # noqa: PLC0415 - see the line above

    # A registry that is opened where none is would be made.
    if url.startswith(_SQLITE) and not await asyncio.to_thread(Path(url.removeprefix(_SQLITE)).is_file):
        raise CommandFailed("there is no registry: expected the state folder, or the database, of a server")
    try:
        async with open_database(url) as database:
            registry = Registry(database, now=lambda: dt.datetime.now(dt.UTC))
            found = await registry.verify_audit()
            return Verdict(
                entries=found.entries,
                first_broken=found.first_broken,
                problem=found.problem,
                head=found.head.hash,
                has_expected_head=expect_head in {"", found.head.hash} or await _holds(registry.audit, expect_head),
            )
    except ConfigError as error:
        raise CommandFailed(*error.problems, code=ExitCode.USAGE) from error
    except ServerError as error:
        raise CommandFailed(error.message) from error


async def _holds(read: Audit, expect_head: str) -> bool:
    after_revision = 0
    while entries := await read(after_revision, limit=_ENTRIES_AT_ONCE):
        if any(entry.hash == expect_head for entry in entries):
            return True
        after_revision = entries[-1].revision
    return False
