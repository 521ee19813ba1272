"""Opens connections that greet and then say nothing: `python idle.py PORT CONNECTIONS SECONDS`.

Says when all are open, then waits so long for the server to end them, and says how many it ended and as what.
"""

import asyncio
import collections
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.raw_http2 import Kind, RawConnection, connected

_AT_ONCE = 50  # connections; more would overflow the backlog of the listener


async def idle(port: int, count: int, seconds: float) -> dict[str, object]:
    """How many the server ended, by what it said, and when the last of them ended after all were open."""
    async with contextlib.AsyncExitStack() as block:
        connections: list[RawConnection] = []
        for number in range(1, count + 1):
            connections.append(await block.enter_async_context(connected(port)))
            await connections[-1].greet()
            if number % _AT_ONCE == 0:
                # The server's own settings, and that it knows ours: established, and not merely accepted.
                await connections[-1].until(Kind.SETTINGS, 2)
        print(json.dumps("open"), flush=True)
        opened, last = time.monotonic(), 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for connection in connections:
                    await connection.over.wait()
                last = time.monotonic() - opened
        said = collections.Counter(_said(each) for each in connections if each.over.is_set())
        return {"ended": said.total(), "said": dict(said), "last_s": round(last, 1)}


def _said(connection: RawConnection) -> str:
    return "nothing" if connection.goaway is None else connection.goaway[1]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(idle(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))), flush=True)
