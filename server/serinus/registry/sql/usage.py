"""Which stored files are still needed."""

from sqlalchemy.ext.asyncio import AsyncConnection

from serinus.registry.records import VersionState
from serinus.registry.sql.reads import version_rows
from serinus.registry.sql.tables import versions


async def read_used_hashes(connection: AsyncConnection) -> frozenset[str]:
    """The SHA-256 of every file of a version that is not deleted."""
    hashes: set[str] = set()
    columns = (versions.c.model, versions.c.number, versions.c.manifest)
    async for page in version_rows(connection, versions.c.state != VersionState.DELETED.value, columns):
        hashes.update(file["sha256"] for row in page for file in row.manifest["files"])
    return frozenset(hashes)
