"""What a caller can choose about a connection."""

import dataclasses
import enum
from pathlib import Path

import grpc

from serinus_client.retry import RetryPolicy
from serinus_client.targets import replicas_in

DEFAULT_TIMEOUT_S = 30.0  # long enough for any model that answers interactively, short enough to notice a dead server
LONGEST_TIMEOUT_S = 365 * 86_400.0  # who says "for ever" gets a year: on the wire a time is a whole number
DEFAULT_TARGET = "127.0.0.1:8001"
MOST_CALLS = 2048  # a server refuses a message with more, and with it every call on its stream

Metadata = tuple[tuple[str, str | bytes], ...]


class Transport(enum.Enum):
    """How calls travel."""

    FRAMES = enum.auto()
    """Many calls in one message of one stream: cheapest by far, and the default."""
    UNARY = enum.auto()
    """Each call an RPC of its own: for proxies that count or balance single calls."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """An encrypted connection.

    Attributes:
        ca: PEM certificates that sign the server's: a path, or the bytes; None takes the system's.
        certificate: The client's own PEM chain, where the server asks for one.
        key: The private key of `certificate`.
        server_name: The name to expect in the server's certificate, where it is not the target's host.
    """

    ca: Path | str | bytes | None = None
    certificate: Path | str | bytes | None = None
    key: Path | str | bytes | None = dataclasses.field(default=None, repr=False)
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: expected both or neither")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            OSError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes(self.ca), private_key=_bytes(self.key), certificate_chain=_bytes(self.certificate)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class FrameLimits:
    """How much goes into one message.

    Attributes:
        calls: Most calls in a message; 1 to 2048.
        size_bytes: Most bytes in a message; a call that is larger by itself travels as a unary one, so that its
            transfer holds nobody back.
    """

    calls: int = 64  # of many callers one half is answered while the other is read; larger ones would take turns
    size_bytes: int = 1 << 20  # a sixteenth of what a server accepts by default

    def __post_init__(self) -> None:
        if not 1 <= self.calls <= MOST_CALLS:
            raise ValueError(f"calls: expected 1 to {MOST_CALLS}, got {self.calls}")
        if self.size_bytes < 1:
            raise ValueError(f"size_bytes: expected at least 1, got {self.size_bytes}")


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """How frame streams are spread over the replicas of a target and the workers of each.

    Attributes:
        renew_s: Seconds after which a stream is replaced by a new one on a new connection, and DNS names are resolved
            again: so that servers behind a load balancer, or that were added to a name, get their share.
        jitter: Share of that by which streams differ, so that clients which began together do not renew together.
        first_pause_s: Before the second connection that is tried to meet a worker which no stream reaches; each further
            pause is half as long again.
        longest_pause_s: Beyond which pauses do not grow: as long as a worker that came back may go without calls.
        connect_s: Seconds after which a replica that cannot be reached is given up for now, where there are others.
        first_rest_s: How long it is then left alone, twice as long after each further failure.
        longest_rest_s: Beyond which that does not grow.
    """

    renew_s: float = 600.0  # a new server has its share within ten minutes, and a connection costs nothing at that rate
    jitter: float = 0.2
    first_pause_s: float = 0.02  # a dozen connections within five seconds: no burden, and all of a few workers found
    longest_pause_s: float = 15.0  # a worker that died is back within seconds; one connection then costs nothing
    connect_s: float = 2.0  # a connection within one continent takes a tenth of this, lost packet included
    first_rest_s: float = 0.5
    longest_rest_s: float = 30.0  # a replica that came back gets its share within half a minute

    def __post_init__(self) -> None:
        for name in ("renew_s", "first_pause_s", "longest_pause_s", "connect_s", "first_rest_s", "longest_rest_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than 0, got {getattr(self, name)}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter: expected at least 0 and below 1, got {self.jitter}")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """All that a client was told.

    Attributes:
        target: "host:port", several with commas between them, or "dns:///host:port" for all addresses of a name.
        credentials: Of an encrypted channel; None for plaintext.
        server_name: The name to expect in the server's certificate; "" for the target's host.
        metadata: Sent with every unary call and every stream.
        timeout_s: Seconds for a call that names no time of its own.
        transport: How calls travel that do not choose.
        frame_limits: How much goes into one message.
        retry: How failed calls are tried again.
        spread: How streams are spread over replicas and workers.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    server_name: str
    metadata: Metadata
    timeout_s: float
    transport: Transport
    frame_limits: FrameLimits
    retry: RetryPolicy
    spread: Spread = Spread()

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s: expected more than 0, got {self.timeout_s}")
        replicas_in(self.target)


def channel_options(server_name: str) -> list[tuple[str, str | int]]:
    """The settings of gRPC's core."""
    options: list[tuple[str, str | int]] = [
        ("grpc.enable_retries", 0),  # retries are this package's own: they obey the budget
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        # Servers end connections that ping more often than every 10 s; a silent peer is noticed after 30 + 10 s.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A server that restarts is back in a second; the core's own schedule would wait up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Two clients of one process must not share a connection: closing one is nobody else's business.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return options


def _bytes(source: Path | str | bytes | None) -> bytes | None:
    return source if source is None or isinstance(source, bytes) else Path(source).read_bytes()
