"""The floor: a bare `grpc.aio` server that sends back the bytes it gets. Prints its port.

Run with `asyncio` or `uvloop`.
"""

import asyncio
import signal
import sys

import grpc
import grpc.aio
import uvloop


async def echo(message: bytes, _context: object) -> bytes:
    """Send the message back."""
    return message


async def main() -> None:
    """Serve until SIGTERM."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handler = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Call": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        uvloop.run(main())
    else:
        asyncio.run(main())
