"""Aim 1: what a unary OIP call of a tiny model costs, against a bare `grpc.aio` echo of the same bytes."""

import asyncio
import tempfile
from pathlib import Path

from harness.plan import Plan
from harness.processes import ServerProcess, echo_server, serinus_server
from harness.rows import Row, at_least, at_most, beside
from models.cases import tiny
from peers.mlserver_peer import MLSERVER
from serinus.bench.load import closed_loop
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import INFER, channel, raw_call

ECHO = "/bench.Echo/Call"
_CALLERS = 16


def measure(plan: Plan) -> list[Row]:
    """Interleaved runs of the servers."""
    with (
        tempfile.TemporaryDirectory() as folder,
        echo_server("asyncio") as plain,
        echo_server("uvloop") as fast,
        serinus_server(f"tiny={tiny(Path(folder)).path}", flags=plan.server_flags) as serinus,
        MLSERVER.serving(tiny(Path(folder))) as peer,
    ):
        message = oip_message("tiny", tiny(Path(folder)).inputs[0])
        servers = {
            "bare grpc.aio echo, asyncio": (plain, ECHO),
            "bare grpc.aio echo, uvloop": (fast, ECHO),
            "ModelInfer, tiny model": (serinus, INFER),
            "the same on MLServer": (peer, INFER),
        }
        runs: dict[str, list[Run]] = {name: [] for name in servers}
        for _ in range(plan.repeats):
            for name, (server, method) in servers.items():
                runs[name].append(asyncio.run(_load(server, method, message, plan.calls)))
    cpu_us = {name: Spread.of(found, lambda run: run.server_cpu_us) for name, found in runs.items()}
    rates = {name: Spread.of(found, lambda run: run.throughput_per_s) for name, found in runs.items()}
    slow, fast_echo, ours, theirs = servers
    return [
        *(beside(1, f"{name}: server CPU a call", cpu_us[name], "us") for name in servers),
        *(beside(1, f"{name}: calls a second, {_CALLERS} callers", rates[name], "/s") for name in servers),
        at_least(1, "calls a second against MLServer", rates[ours].over(rates[theirs]), 2, "x"),
        at_most(1, "server CPU a call against the echo on asyncio", cpu_us[ours].over(cpu_us[slow]), 1.25, "x"),
        at_most(1, "server CPU a call against the echo on uvloop", cpu_us[ours].over(cpu_us[fast_echo]), 1.25, "x"),
    ]


async def _load(server: ServerProcess, method: str, message: bytes, calls: int) -> Run:
    async with channel(server.target) as opened:
        call = raw_call(opened, method, [message])
        return await closed_loop(call, callers=_CALLERS, calls=calls, meter=server.meter)
