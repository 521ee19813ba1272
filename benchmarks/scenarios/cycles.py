"""Aim 8, in part: memory of a server that loads and unloads a version again and again."""

import asyncio
import tempfile
from pathlib import Path

from harness.models import layered
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row
from serinus_client import AsyncClient

_MIB = 8
_LOOKS = (25, 50, 75, 100)  # after so many cycles
_SETTLED_S = 2.5  # idle for so long, a server gives back what is free


def measure(plan: Plan) -> list[Row]:
    """Resident memory after numbers of cycles. No slope: what is free in it goes up and down by 30 MiB."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serinus_server(flags=plan.server_flags, state=Path(folder, "state")) as server,
    ):
        found = asyncio.run(_cycles(server, Path(folder)))
    sizes = ", ".join(f"{mib:.1f}" for mib in found.values())
    looks = ", ".join(map(str, found))
    return [Row(8, f"{_MIB} MiB loaded and unloaded: memory after {looks} cycles", f"{sizes} MiB")]


async def _cycles(server: ServerProcess, folder: Path) -> dict[int, float]:
    """Memory in MiB by the number of cycles before it."""
    found: dict[int, float] = {}
    async with AsyncClient(server.target) as client:
        for number, version in enumerate(("1.0.0", "1.0.1")):
            await client.registry.register("m", layered(folder / "model.onnx", _MIB, number), version)
        for cycle in range(1, max(_LOOKS) + 1):
            await client.admin.load_model("m", "1.0.1")
            await client.admin.unload_model("m", "1.0.1")
            if cycle in _LOOKS:
                await asyncio.sleep(_SETTLED_S)
                found[cycle] = server.rss_mib()
    return found
