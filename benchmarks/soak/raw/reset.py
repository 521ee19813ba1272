"""Begins calls and resets them at once: `python reset.py PORT PER_S SECONDS BODY`; says how many there were.

`BODY` is the message of each call in hexadecimal; the server has it whole before it hears that nobody wants the answer.
"""

import asyncio
import json
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.raw_http2 import END_HEADERS, END_STREAM, Kind, call_headers, connected, frame, reset

_HEADERS = call_headers("/serinus.v1.PredictService/Predict")
_TOGETHER = 50  # in one write
_MOST_OF_A_CONNECTION = 1_000_000  # streams; ids end at 2**30


async def flood(port: int, per_s: float, seconds: float, body: bytes) -> dict[str, float]:
    """Streams begun, connections that they took, and the rate that was reached."""
    message = struct.pack(">BI", 0, len(body)) + body
    streams = connections = 0
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        connections += 1
        async with connected(port) as connection:
            await connection.greet()
            number = 0
            while (
                time.monotonic() < began + seconds and not connection.over.is_set() and number < _MOST_OF_A_CONNECTION
            ):
                await connection.send(b"".join(_call(number + n, message) for n in range(_TOGETHER)))
                number += _TOGETHER
                streams += _TOGETHER
                await asyncio.sleep(max(0.0, began + streams / per_s - time.monotonic()))
    return {"streams": streams, "connections": connections, "per_s": round(streams / (time.monotonic() - began))}


def _call(number: int, message: bytes) -> bytes:
    stream = 2 * number + 1
    return (
        frame(Kind.HEADERS, _HEADERS, flags=END_HEADERS, stream=stream)
        + frame(Kind.DATA, message, flags=END_STREAM, stream=stream)
        + reset(stream)
    )


if __name__ == "__main__":
    port, per_s, seconds, body = sys.argv[1:]
    print(json.dumps(asyncio.run(flood(int(port), float(per_s), float(seconds), bytes.fromhex(body)))), flush=True)
