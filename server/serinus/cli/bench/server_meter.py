"""Finds the processes of a server that runs on this machine, so that what they use can be read."""

import contextlib
from pathlib import Path

from serinus.bench.server_use import ProcessTree
from serinus.cli.target import Server, connected_async
from serinus.config.addresses import split_host_port
from serinus_client import SerinusError

_LOCAL = ("127.", "localhost", "::1")
_WORD = b"serinus"


async def found_meter(server: Server, pid: int) -> ProcessTree | None:
    """The processes under `pid`, or for 0 those that the server itself names; None where they are not known."""
    if pid:
        return ProcessTree(pid)
    if not split_host_port(server.address)[0].startswith(_LOCAL):
        return None
    with contextlib.suppress(SerinusError):
        async with connected_async(server) as client:
            workers = (await client.admin.server_status()).workers
        named = [worker.pid for worker in workers if worker.pid and _is_ours(worker.pid)]
        if len(named) == 1 and not workers[0].index:
            return ProcessTree(named[0])
        if named:
            return ProcessTree(_parent(named[0]))  # the supervisor
    return None


def _is_ours(pid: int) -> bool:
    """Whether the process of that number is a Serinus: through a forwarded port it would be some other program."""
    try:
        return _WORD in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
