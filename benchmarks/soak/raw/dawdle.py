"""Opens connections that dawdle, and says how many are left: `python dawdle.py PORT CONNECTIONS SECONDS`.

In turns they say nothing, send half of their headers, and send a call byte by byte, one a second.
"""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.raw_http2 import END_HEADERS, PREFACE, Kind, RawConnection, call_headers, connected, frame

_HEADERS = call_headers("/serinus.v1.PredictService/Predict")
_KINDS = ("nothing", "half of the headers", "a byte a second")
_BEGUN = bytes.fromhex("00000fffff") + bytes(1000)  # announces a MiB
_AT_ONCE = 50  # connections; more would overflow the backlog of the listener


async def _begin(connection: RawConnection, kind: int) -> None:
    headers = frame(Kind.HEADERS, _HEADERS, flags=END_HEADERS, stream=1)
    if kind == 1:
        await connection.send(PREFACE + frame(Kind.SETTINGS) + headers[:30])
    elif kind == 2:
        await connection.greet()
        await connection.send(headers)


async def dawdle(port: int, count: int, seconds: float) -> dict[str, int]:
    """How many of each kind the server has ended."""
    async with contextlib.AsyncExitStack() as block:
        connections: list[RawConnection] = []
        for number in range(count):
            connections.append(await block.enter_async_context(connected(port)))
            await _begin(connections[-1], number % 3)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0.01)
        print(json.dumps("open"), flush=True)
        until, second = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            for connection in connections[2::3]:
                await connection.send(frame(Kind.DATA, _BEGUN[second : second + 1], stream=1))
            await asyncio.sleep(1)
            second += 1
        return {kind: sum(each.over.is_set() for each in connections[n::3]) for n, kind in enumerate(_KINDS)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(dawdle(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))), flush=True)
