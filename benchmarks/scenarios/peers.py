"""Side by side: what one could pick instead, each in turns with us on the same machine in the same minute."""

import asyncio
import dataclasses
import sys
import tempfile
from pathlib import Path

from harness.plan import Plan
from harness.processes import ServerProcess, echo_server
from harness.rows import Row, at_least, beside, failed
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
_AIM, _AIM_OF_OTHERS = 14, 15
_CALLERS, _IN_FRAMES = 16, 256


def measure(plan: Plan) -> list[Row]:
    """ModelInfer of two models by all servers; the two limits stand beside them."""
    with tempfile.TemporaryDirectory() as folder:
        tiny, magika = cases.tiny(Path(folder)), cases.magika()
        rows = [
            *_SideBySide(_AIM, tiny, plan, plan.calls).rows(),
            *_SideBySide(_AIM, magika, plan, len(magika.inputs)).rows(),
        ]
    return [*rows, *(Row(_AIM, f"{peer.name}: how it is set", peer.settings) for peer in PEERS)]


def measure_others(plan: Plan) -> list[Row]:
    """The same of the models that the short version has no time for."""
    slow, quick = (cases.ocr_recognition(), cases.minilm()), (cases.ocr_classifier(), cases.silero())
    return [
        *(row for case in slow for row in _SideBySide(_AIM_OF_OTHERS, case, plan, len(case.inputs)).rows()),
        *(row for case in quick for row in _SideBySide(_AIM_OF_OTHERS, case, plan, plan.calls).rows()),
    ]


@dataclasses.dataclass(frozen=True)
class _SideBySide:
    """One model by all servers, so many calls in each run."""

    aim: int
    case: Case
    plan: Plan
    calls: int

    def rows(self) -> list[Row]:
        case, plan = self.case, self.plan
        with serving([case], plan.server_flags) as server:
            rows = self._figures(f"{case.name}: Serinus", self._runs([server])[0])
            rows += self._echo()
            for peer in PEERS:
                rows += self._beside_us(peer, server)
        alone = InProcess(case, plan.session_providers)
        setting = alone.best()
        speed = alone.speed(setting, plan.seconds / 2)
        return [*rows, beside(self.aim, f"{case.name}: in process, {setting}", speed.rows_per_s, "/s")]

    def _echo(self) -> list[Row]:
        """What no server on `grpc.aio` can go below: the same bytes, sent back."""
        case = self.case

        async def once(server: ServerProcess) -> Run:
            async with channel(server.target) as opened, answering():
                call = raw_call(opened, ECHO, [oip_message(case.name, inputs) for inputs in case.inputs])
                return await closed_loop(call, callers=_CALLERS, calls=self.calls, meter=server.meter)

        with echo_server("uvloop") as server:
            runs = [asyncio.run(once(server)) for _ in range(self.plan.repeats)]
        return self._figures(f"{case.name}: bare grpc.aio echo", runs)

    def _beside_us(self, peer: Peer, server: ServerProcess) -> list[Row]:
        """One peer runs at a time: some keep a tenth of a core busy with nothing to do."""
        name = f"{self.case.name}: {peer.name}"
        print(f"  {name} …", file=sys.stderr, flush=True)
        try:
            with peer.serving(self.case) as theirs:
                our_runs, their_runs = self._runs([server, theirs])
                rows = self._framed(server, their_runs) if peer is PYTRITON and self.case.is_quick else []
        except PeerMissing as missing:
            return [Row(self.aim, name, f"not measured: {missing}")]
        except TimeoutError as hung:
            return [failed(self.aim, name, str(hung))]
        faster = Spread.of(our_runs, _rate).over(Spread.of(their_runs, _rate))
        cheaper = Spread.of(their_runs, _cpu_us).over(Spread.of(our_runs, _cpu_us))
        return [
            *rows,
            *self._figures(name, their_runs),
            beside(self.aim, f"{name}: Serinus answers as many times the calls a second", faster, "x"),
            beside(self.aim, f"{name}: uses as many times the server CPU of Serinus", cheaper, "x"),
        ]

    def _framed(self, server: ServerProcess, their_runs: list[Run]) -> list[Row]:
        """Aim 2, in part: what we answer in frames, against what they do one call at a time."""

        def once() -> Run:
            return asyncio.run(load(server, self.case, Way.FRAMES, callers=_IN_FRAMES, calls=10 * self.calls))

        ahead = Spread.of([once() for _ in their_runs], _rate).over(Spread.of(their_runs, _rate))
        what = f"frames, {_IN_FRAMES} callers: calls a second against unary ones of {PYTRITON.name}, {_CALLERS} callers"
        return [at_least(2, what, ahead, 1, "x")]

    def _runs(self, servers: list[ServerProcess]) -> list[list[Run]]:
        """Of each server, in turns."""
        found: list[list[Run]] = [[] for _ in servers]
        for _ in range(self.plan.repeats):
            for server, runs in zip(servers, found, strict=True):
                runs.append(asyncio.run(load(server, self.case, Way.OIP, callers=_CALLERS, calls=self.calls)))
        return found

    def _figures(self, name: str, runs: list[Run]) -> list[Row]:
        unanswered = sum(run.failed for run in runs)
        return [
            beside(self.aim, f"{name}: calls a second, {_CALLERS} callers", Spread.of(runs, _rate), "/s"),
            beside(self.aim, f"{name}: p50", Spread.of(runs, lambda run: run.latency_s(50) * 1e3), "ms"),
            beside(self.aim, f"{name}: p99", Spread.of(runs, lambda run: run.latency_s(99) * 1e3), "ms"),
            beside(self.aim, f"{name}: server CPU a call", Spread.of(runs, _cpu_us), "us"),
            *([beside(self.aim, f"{name}: failed calls", unanswered)] if unanswered else []),
        ]


def _rate(run: Run) -> float:
    return run.throughput_per_s


def _cpu_us(run: Run) -> float:
    return run.server_cpu_us
