"""Side by side: what one could pick instead, each in turns with us on the same machine in the same minute."""

import asyncio
import sys
import tempfile
from pathlib import Path

from harness.plan import Plan
from harness.processes import ServerProcess, echo_server
from harness.rows import Row, beside, failed
from models import cases
from models.case import Case
from models.in_process import InProcess
from models.load import answering, load
from models.serving import serving
from peers.environments import PeerMissing
from peers.kserve_peer import KSERVE
from peers.mlserver_peer import MLSERVER
from peers.peer import Peer
from peers.pytriton_peer import PYTRITON
from peers.ray_peer import RAY
from scenarios.unary import ECHO
from serinus.bench.load import closed_loop
from serinus.bench.messages import oip_message
from serinus.bench.run import Run
from serinus.bench.spread import Spread
from serinus.bench.transports import Way, channel, raw_call

PEERS = (MLSERVER, KSERVE, PYTRITON, RAY)
_AIM = 14
_CALLERS = 16


def measure(plan: Plan) -> list[Row]:
    """ModelInfer of two models by all servers; the two limits stand beside them."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for case, calls in ((cases.tiny(Path(folder)), plan.calls), (cases.magika(), len(cases.magika().inputs))):
            with serving([case], plan.server_flags) as server:
                rows += _figures(f"{case.name}: Serinus", _runs([server], case, plan.repeats, calls)[0])
                rows += _echo(case, plan.repeats, calls)
                for peer in PEERS:
                    rows += _beside_us(peer, server, case, plan.repeats, calls)
            alone = InProcess(case, plan.session_providers)
            setting = alone.best()
            speed = alone.speed(setting, plan.seconds / 2)
            rows.append(beside(_AIM, f"{case.name}: in process, {setting}", speed.rows_per_s, "/s"))
    return [*rows, *(Row(_AIM, f"{peer.name}: how it is set", peer.settings) for peer in PEERS)]


def _echo(case: Case, repeats: int, calls: int) -> list[Row]:
    """What no server on `grpc.aio` can go below: the same bytes, sent back."""

    async def once(server: ServerProcess) -> Run:
        async with channel(server.target) as opened, answering():
            call = raw_call(opened, ECHO, [oip_message(case.name, inputs) for inputs in case.inputs])
            return await closed_loop(call, callers=_CALLERS, calls=calls, meter=server.meter)

    with echo_server("uvloop") as server:
        return _figures(f"{case.name}: bare grpc.aio echo", [asyncio.run(once(server)) for _ in range(repeats)])


def _beside_us(peer: Peer, server: ServerProcess, case: Case, repeats: int, calls: int) -> list[Row]:
    """One peer runs at a time: some keep a tenth of a core busy with nothing to do."""
    name = f"{case.name}: {peer.name}"
    print(f"  {name} …", file=sys.stderr, flush=True)
    try:
        with peer.serving(case) as theirs:
            our_runs, their_runs = _runs([server, theirs], case, repeats, calls)
    except PeerMissing as missing:
        return [Row(_AIM, name, f"not measured: {missing}")]
    except TimeoutError as hung:
        return [failed(_AIM, name, str(hung))]
    faster = Spread.of(our_runs, _rate).over(Spread.of(their_runs, _rate))
    cheaper = Spread.of(their_runs, _cpu_us).over(Spread.of(our_runs, _cpu_us))
    return [
        *_figures(name, their_runs),
        beside(_AIM, f"{name}: Serinus answers as many times the calls a second", faster, "x"),
        beside(_AIM, f"{name}: uses as many times the server CPU of Serinus", cheaper, "x"),
    ]


def _runs(servers: list[ServerProcess], case: Case, repeats: int, calls: int) -> list[list[Run]]:
    """Of each server, in turns."""
    found: list[list[Run]] = [[] for _ in servers]
    for _ in range(repeats):
        for server, runs in zip(servers, found, strict=True):
            runs.append(asyncio.run(load(server, case, Way.OIP, callers=_CALLERS, calls=calls)))
    return found


def _figures(name: str, runs: list[Run]) -> list[Row]:
    unanswered = sum(run.failed for run in runs)
    return [
        beside(_AIM, f"{name}: calls a second, {_CALLERS} callers", Spread.of(runs, _rate), "/s"),
        beside(_AIM, f"{name}: p50", Spread.of(runs, lambda run: run.latency_s(50) * 1e3), "ms"),
        beside(_AIM, f"{name}: p99", Spread.of(runs, lambda run: run.latency_s(99) * 1e3), "ms"),
        beside(_AIM, f"{name}: server CPU a call", Spread.of(runs, _cpu_us), "us"),
        *([beside(_AIM, f"{name}: failed calls", unanswered)] if unanswered else []),
    ]


def _rate(run: Run) -> float:
    return run.throughput_per_s


def _cpu_us(run: Run) -> float:
    return run.server_cpu_us
