"""Aim 9: what registering and loading a version cost by its size, beside what the disk and the hash alone cost."""

import asyncio
import dataclasses
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from harness.models import layered
from harness.plan import Plan
from harness.processes import ServerProcess, serinus_server
from harness.rows import Row
from serinus_client import AsyncClient

_SIZES_MIB = (1, 100)
_CHUNK_BYTES = 1 << 20  # what the server writes at once


@dataclasses.dataclass(frozen=True)
class _Times:
    """Seconds that one version took.

    Attributes:
        write_s: Writing its bytes to a new file of the same disk, to the fsync.
        hash_s: SHA-256 of its bytes.
        register_s: From the call to the acknowledgement, the client's own reading and hashing included.
        load_s: From the call to the answer that it serves, the write of the decision included.
    """

    write_s: float
    hash_s: float
    register_s: float
    load_s: float


def measure(plan: Plan) -> list[Row]:
    """Sizes take turns; a version of each is registered, loaded and unloaded in every repeat."""
    with tempfile.TemporaryDirectory() as folder, serinus_server(state=Path(folder, "state")) as server:
        found = asyncio.run(_all(server, Path(folder), plan.repeats))
    rows: list[Row] = []
    for mib, times in found.items():
        write_s, hash_s, register_s, load_s = (
            statistics.median(getattr(each, field.name) for each in times) for field in dataclasses.fields(_Times)
        )
        longest_s = max(each.register_s for each in times)
        rows += [
            Row(9, f"{mib} MiB: the disk alone, write and fsync", _speed(mib, write_s)),
            Row(9, f"{mib} MiB: sha256 alone", _speed(mib, hash_s)),
            Row(9, f"{mib} MiB: register, median / longest", f"{_speed(mib, register_s)} / {longest_s * 1e3:.0f} ms"),
            Row(9, f"{mib} MiB: load", _speed(mib, load_s)),
        ]
    return rows


def _speed(mib: int, seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms, {mib / seconds:.0f} MiB/s" if mib > 1 else f"{seconds * 1e3:.1f} ms"


async def _all(server: ServerProcess, folder: Path, repeats: int) -> dict[int, list[_Times]]:
    times: dict[int, list[_Times]] = {mib: [] for mib in _SIZES_MIB}
    async with AsyncClient(server.target) as client:
        for mib in _SIZES_MIB:
            # The first version of a model is served at once; the others wait to be asked for.
            await client.registry.register(f"m{mib}", layered(folder / "model.onnx", mib, 0), "1.0.0")
        for repeat in range(1, repeats + 1):
            for mib, found in times.items():
                path = layered(folder / "model.onnx", mib, repeat)
                found.append(await _one(client, f"m{mib}", f"1.0.{repeat}", path))
    return times


async def _one(client: AsyncClient, model: str, version: str, path: Path) -> _Times:
    write_s, hash_s = _alone(path)
    began = time.perf_counter()
    await client.registry.register(model, path, version)
    register_s = time.perf_counter() - began
    began = time.perf_counter()
    await client.admin.load_model(model, version)
    load_s = time.perf_counter() - began
    await client.admin.unload_model(model, version)
    return _Times(write_s, hash_s, register_s, load_s)


def _alone(path: Path) -> tuple[float, float]:
    """Seconds that writing and hashing its bytes take without a server."""
    content = path.read_bytes()
    write_s = _written_s(path.with_suffix(".copy"), content)
    began = time.perf_counter()
    hashlib.sha256(content).hexdigest()
    return write_s, time.perf_counter() - began


def _written_s(path: Path, content: bytes) -> float:
    """Seconds to write a new file and have it on the disk."""
    began = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(content), _CHUNK_BYTES):
            file.write(content[start : start + _CHUNK_BYTES])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds
