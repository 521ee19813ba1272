"""Another process that writes to a registry: `python writer_process.py URL NAME COUNT [FAILPOINT REVISION]`.

It registers NAME@1.0.0 and moves an alias of the model `shared` COUNT times; each answer is a line with its revision.
At FAILPOINT of the write that follows REVISION it kills itself.
"""

import asyncio
import datetime as dt
import os
import signal
import sys

from serinus.registry.failpoints import Failpoint
from serinus.registry.registry import Registry
from serinus.registry.sql.database import open_database
from tests.registry.drafts import draft


async def main(url: str, name: str, count: int, failpoint: str = "", revision: str = "-1") -> None:
    """Write, and say what was answered."""
    answered = 0

    def reach(point: Failpoint) -> None:
        if point.name == failpoint and answered == int(revision):
            os.kill(os.getpid(), signal.SIGKILL)

    async with open_database(url) as database:
        registry = Registry(database, now=lambda: dt.datetime.now(dt.UTC), reach=reach)
        answered = (await registry.register(draft("1.0.0", name), actor=name)).revision
        print(answered, flush=True)  # noqa: T201 - its parent reads it
        for number in range(count):
            version = f"1.0.{number % 2}"
            answered = (await registry.set_alias("shared", name, version, actor=name)).revision
            print(answered, flush=True)  # noqa: T201 - its parent reads it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
