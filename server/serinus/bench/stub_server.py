"""A server that answers every unary call with nothing, at once: what the generator is checked against.

Run as a module, in a process of its own: prints its port, and ends when standard input does.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from serinus.bench.transports import INFER

_START_S = 30.0
_STOP_S = 5.0


async def _answer(_message: bytes, _context: object) -> bytes:
    return b""


async def _serve() -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    service, _, method = INFER[1:].partition("/")
    handlers: dict[str, Any] = {method: grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


@contextlib.asynccontextmanager
async def stub_server() -> AsyncIterator[tuple[str, int]]:
    """The address and the process of a stub that lives as long as the block.

    Raises:
        TimeoutError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
        yield f"127.0.0.1:{int(line)}", process.pid
    finally:
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
