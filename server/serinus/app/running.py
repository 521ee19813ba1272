"""A server that answers, and the two ways in which it goes away."""

import asyncio
from collections.abc import Callable

from serinus.app.workers.colleagues import Colleagues
from serinus.config.settings import Settings
from serinus.lifecycle.models import Models
from serinus.telemetry.logs import get_logger
from serinus.telemetry.metrics import Metrics
from serinus.transport.drain import Drain
from serinus.transport.face import Face
from serinus.transport.server import GrpcServer

log = get_logger("serinus.server")

_SILENCE_S = 0.1  # calls that the transport had received before the drain have reached us by then
_LONGEST_SILENCE_S = 2.0  # clients that never stop calling are cut off then


class RunningServer:
    """A server that answers. Starting → serving → draining → stopped.

    Attributes:
        models: What it serves.
        metrics: What it counts.
        grpc_port: Bound.
        http_port: Bound; 0 for a worker, whose supervisor has it.
        told_to_leave: Set once an operator has asked for it over the wire; whoever runs the server then drains it.
        colleagues: The other workers of this machine; None without a supervisor.
    """

    def __init__(
        self,
        *,
        models: Models,
        metrics: Metrics,
        face: Face,
        grpc: GrpcServer,
        http_port: int,
        drain: Drain,
        settings: Settings,
        told_to_leave: asyncio.Event,
        colleagues: Colleagues | None,
        exposition: Callable[[], tuple[bytes, str]],
    ) -> None:
        self.models = models
        self.metrics = metrics
        self.grpc_port = grpc.port
        self.http_port = http_port
        self.told_to_leave = told_to_leave
        self.colleagues = colleagues
        self._exposition = exposition
        self._face = face
        self._grpc = grpc
        self._drain = drain
        self._settings = settings

    async def drain(self) -> None:
        """Go away: say so, give load balancers time to notice, answer the calls in flight."""
        log.info("draining", notice_s=self._settings.drain.notice_s, grace_s=self._settings.drain.grace_s)
        self._face.close()
        await asyncio.sleep(max(self._settings.drain.notice_s, _SILENCE_S))
        self._drain.begin()
        await self._drain.quiet(silence_s=_SILENCE_S, at_most_s=_LONGEST_SILENCE_S)
        await self._grpc.stop(self._settings.drain.grace_s)
        await self._end_counts()

    async def make_way(self) -> None:
        """Go away while others that share the port go on: clients are sent to them before anything is refused.

        A call that is on its way here while its client is told is cancelled by the transport, and is to be repeated.
        """
        log.info("making way", notice_s=self._settings.drain.notice_s, grace_s=self._settings.drain.grace_s)
        self._grpc.stop_listening()
        self._face.close()
        await asyncio.sleep(max(self._settings.drain.notice_s, _SILENCE_S))
        # Says GOAWAY on every connection; calls and streams there go on.
        stopping = asyncio.create_task(self._grpc.stop(self._settings.drain.grace_s))
        try:
            await asyncio.wait({stopping}, timeout=_SILENCE_S)
            # By now whoever begins another stream begins it elsewhere.
            self._drain.begin()
            await stopping
        finally:
            stopping.cancel()
        await self._end_counts()

    async def _end_counts(self) -> None:
        """All calls are answered: nothing is counted any more."""
        if self.colleagues is not None:
            await self.colleagues.say_last(self._exposition)
        log.info("drained")
