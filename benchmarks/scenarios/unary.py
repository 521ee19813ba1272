"""Aim 1: what a unary OIP call of a tiny model costs, against a bare `grpc.aio` echo of the same bytes."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from harness.plan import Plan
from harness.processes import ServerProcess, echo_server, serinus_server
from harness.rows import Row, at_least, at_most, beside
from models.cases import tiny
from models.load import answering
from peers.environments import PeerMissing
from peers.mlserver_peer import MLSERVER
from serinus.bench.load import closed_loop
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import INFER, channel, raw_call

ECHO = "/bench.Echo/Call"
_CALLERS = 16
_ECHOES = ("bare grpc.aio echo, asyncio", "bare grpc.aio echo, uvloop")
_OURS = "ModelInfer, tiny model"
_THEIRS = "the same on MLServer"


def measure(plan: Plan) -> list[Row]:
    """Interleaved runs of the servers; without MLServer the others stand alone."""
    with contextlib.ExitStack() as block:
        case = tiny(Path(block.enter_context(tempfile.TemporaryDirectory())))
        servers = {
            _ECHOES[0]: (block.enter_context(echo_server("asyncio")), ECHO),
            _ECHOES[1]: (block.enter_context(echo_server("uvloop")), ECHO),
            _OURS: (block.enter_context(serinus_server(f"tiny={case.path}", flags=plan.server_flags)), INFER),
        }
        try:
            servers[_THEIRS] = (block.enter_context(MLSERVER.serving(case)), INFER)
            missing = ""
        except PeerMissing as error:
            missing = str(error)
        message = oip_message("tiny", case.inputs[0])
        runs: dict[str, list[Run]] = {name: [] for name in servers}
        for _ in range(plan.repeats):
            for name, (server, method) in servers.items():
                runs[name].append(asyncio.run(_load(server, method, message, plan.calls)))
    return [*_figures(runs), *([Row(1, _THEIRS, f"not measured: {missing}")] if missing else [])]


def _figures(runs: dict[str, list[Run]]) -> list[Row]:
    cpu_us = {name: Spread.of(found, lambda run: run.server_cpu_us) for name, found in runs.items()}
    rates = {name: Spread.of(found, lambda run: run.throughput_per_s) for name, found in runs.items()}
    rows = [
        *(beside(1, f"{name}: server CPU a call", cpu_us[name], "us") for name in runs),
        *(beside(1, f"{name}: calls a second, {_CALLERS} callers", rates[name], "/s") for name in runs),
        *(
            at_most(1, f"server CPU a call against the echo on {loop}", cpu_us[_OURS].over(cpu_us[echo]), 1.25, "x")
            for loop, echo in zip(("asyncio", "uvloop"), _ECHOES, strict=True)
        ),
    ]
    if _THEIRS in runs:
        rows.append(at_least(1, "calls a second against MLServer", rates[_OURS].over(rates[_THEIRS]), 2, "x"))
    return rows


async def _load(server: ServerProcess, method: str, message: bytes, calls: int) -> Run:
    async with channel(server.target) as opened, answering():
        call = raw_call(opened, method, [message])
        return await closed_loop(call, callers=_CALLERS, calls=calls, meter=server.meter)
