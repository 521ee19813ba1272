"""The server of the end-to-end tests, a process of its own: says its ports, serves until SIGTERM, drains, exits 0.

    python child.py CONFIG.toml

A process, because a client that shares the server's interpreter lock could not load it, and because other clients'
protobuf descriptors must not meet the server's. Exits 1 with the sentence when it is refused.
"""

import asyncio
import json
import os
import random
import signal
import sys
from pathlib import Path

import uvloop

from serinus.app.server import StartRefused, running_server
from serinus.config.settings import load_settings
from serinus.telemetry.logs import configure_logs


async def serve(config: Path) -> None:
    """Serve what the file says."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    settings = load_settings(config, flags={}, environ={})
    logs = configure_logs(sys.stderr, "info", json=True)
    async with running_server(settings, logs=logs, rng=random.Random(1)) as server:
        facts = {"grpc": server.grpc_port, "http": server.http_port, "pid": os.getpid()}
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        await ended.wait()
        await server.drain()


if __name__ == "__main__":
    try:
        uvloop.run(serve(Path(sys.argv[1])))
    except StartRefused as refused:
        sys.exit(f"error: {refused}")
