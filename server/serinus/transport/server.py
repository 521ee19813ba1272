"""The gRPC server: binds the port, carries the services, and goes away without losing a call."""

import dataclasses
import enum
import random
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import grpc
import grpc.aio

from serinus.config.sections import GrpcSettings
from serinus.telemetry.logs import get_logger
from serinus.transport.connection_limit import NO_LIMIT, most_connections_now
from serinus.transport.listeners import stop_listening
from serinus.transport.thread_policy import threads_that_wait_their_turn

log = get_logger("serinus.transport")

# Of one connection; clients with more calls than that hold them back. grpc core begins to drop calls, whoever made
# them, when a thousand of all connections wait for the event loop: ten times as many streams let one client that resets
# them as fast as it can fail a tenth of its neighbours' calls (5000 resets a second on two busy cores), as many none.
_MOST_STREAMS = 1000
_FOREVER_MS = (1 << 31) - 1


@dataclasses.dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS server shows and asks for, PEM."""

    certificate_chain: bytes
    private_key: bytes
    client_authorities: bytes | None


class PortTaken(OSError):
    """The address cannot be listened on."""


class PortUse(enum.Enum):
    """Who else may listen on the port."""

    ALONE = 0
    """Nobody: two servers would share it in silence, and each would get a part of the calls."""
    SHARED = 1
    """Workers of the same server; their supervisor has made sure of that."""


class GrpcServer:
    """A `grpc.aio` server for `services`, with health and whatever else `handlers` hold.

    Starting → serving → not serving → stopped. An async context manager; leaving it stops at once, so drain first.

    Attributes:
        port: The port that it listens on.
    """

    def __init__(
        self,
        settings: GrpcSettings,
        *,
        handlers: Sequence[grpc.GenericRpcHandler],
        tls: TlsFiles | None,
        rng: random.Random,
        use: PortUse = PortUse.ALONE,
    ) -> None:
        self._settings = settings
        with threads_that_wait_their_turn():
            options = server_options(settings, rng, use, connections=most_connections_now())
            self._server = grpc.aio.server(options=options)
        self._server.add_generic_rpc_handlers(tuple(handlers))
        self.port = self._listen(tls)

    def _listen(self, tls: TlsFiles | None) -> int:
        address = self._settings.host_port
        try:
            if tls is None:
                return self._server.add_insecure_port(address)
            credentials = grpc.ssl_server_credentials(
                [(tls.private_key, tls.certificate_chain)],
                root_certificates=tls.client_authorities,
                require_client_auth=tls.client_authorities is not None,
            )
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise PortTaken(f"cannot listen for gRPC on {address}: is another server using the port?") from error

    async def __aenter__(self) -> Self:
        with threads_that_wait_their_turn():
            await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    def stop_listening(self) -> None:
        """Take no new connections; those there are go on, and others on a shared port get the new ones."""
        stop_listening(self.port)

    async def stop(self, grace_s: float) -> None:
        """Take no new calls, and wait for those in flight, at most `grace_s`."""
        await self._server.stop(grace_s)


def server_options(
    settings: GrpcSettings, rng: random.Random, use: PortUse = PortUse.ALONE, *, connections: int = NO_LIMIT
) -> list[tuple[str, int]]:
    """Channel arguments of grpc core, in its units."""
    age_s = settings.max_connection_age_s * (1 + settings.max_connection_age_jitter * rng.uniform(-1, 1))
    return [
        ("grpc.so_reuseport", use.value),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_time_s)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", int(settings.keepalive_permit_without_calls)),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.min_recv_ping_interval_s)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(settings.min_recv_ping_interval_s)),
        ("grpc.max_connection_age_ms", _ms_or_never(age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(settings.max_connection_age_grace_s)),
        ("grpc.max_connection_idle_ms", _ms_or_never(settings.max_connection_idle_s)),
        ("grpc.server_handshake_timeout_ms", _ms(settings.handshake_timeout_s)),
        # Part of establishing a connection too: that the client has heard our settings. By default a minute.
        ("grpc.http2.settings_timeout", _ms(settings.handshake_timeout_s)),
    ]


def _ms(seconds: float) -> int:
    return min(int(seconds * 1000), _FOREVER_MS)


def _ms_or_never(seconds: float) -> int:
    """Milliseconds; 0 stands for never, for grpc core the largest number does."""
    return _ms(seconds) if seconds else _FOREVER_MS
