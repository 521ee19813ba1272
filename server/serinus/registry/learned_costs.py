"""What is kept of what runs cost, so that a server that starts need not learn it again."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from serinus.registry.sql import cost_rows
from serinus.registry.sql.database import Database


class LearnedCostStore:
    """Costs in the registry's database: a document for each subject on each kind of machine.

    No part of the registry's history: they have no revision, the audit does not name them, and followers read nothing
    because of them. Every method may raise StoreUnavailable, StoreFull, DataLost or Refused(SCHEMA_NEWER).

    Args:
        database: Where they are kept.
        machine: SHA-256 of what costs depend on besides the subject, in hexadecimal; costs of others are not read.
        now: What time it is.
    """

    def __init__(
        self,
        database: Database,
        *,
        machine: str,
        now: Callable[[], dt.datetime],
    ) -> None:
        self._database = database
        self._machine = machine
        self._now = now

    def __repr__(self) -> str:
        return f"<LearnedCostStore {self._machine[:12]}>"

    async def read(self, subject: str) -> Mapping[str, Any] | None:
        """What was kept last of a subject; None if nothing.

        Args:
            subject: SHA-256 of what is run, and how, in hexadecimal.
        """
        return await self._database.read(lambda connection: cost_rows.read_costs(connection, subject, self._machine))

    async def write(
        self,
        documents: Mapping[str, Mapping[str, Any]],
        *,
        gives_way: cost_rows.GivesWay = lambda _subject, _known: True,
    ) -> None:
        """Keep a document for each subject in place of the one before, if that gives way.

        The oldest go where they are too many.
        """
        await self._database.write(
            lambda connection: cost_rows.write_costs(connection, documents, self._machine, self._now(), gives_way)
        )
