"""What gRPC core is told, in its own units."""

import random

import pytest

from serinus.config.sections import GrpcSettings
from serinus.transport.connection_limit import NO_LIMIT
from serinus.transport.server import server_options

NEVER = 2**31 - 1


def options(**settings: object) -> dict[str, int]:
    return dict(server_options(GrpcSettings(**settings), random.Random(1)))


def test_the_defaults():
    """One server has the port, messages are capped, idle and old connections end."""
    found = options(max_connection_age_jitter=0)
    assert found == {
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": 16 << 20,
        "grpc.max_send_message_length": 16 << 20,
        "grpc.keepalive_time_ms": 60_000,
        "grpc.keepalive_timeout_ms": 20_000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_ping_interval_without_data_ms": 10_000,
        "grpc.http2.min_recv_ping_interval_without_data_ms": 10_000,
        "grpc.max_concurrent_streams": 1000,
        "grpc.max_allowed_incoming_connections": NO_LIMIT,
        "grpc.max_connection_age_ms": 1_800_000,
        "grpc.max_connection_age_grace_ms": 120_000,
        "grpc.max_connection_idle_ms": 900_000,
        "grpc.server_handshake_timeout_ms": 20_000,
        "grpc.http2.settings_timeout": 20_000,
    }


def test_nothing_stands_for_never():
    """For gRPC core 0 would be at once."""
    found = options(max_connection_age_s=0, max_connection_idle_s=0, max_connection_age_grace_s=0)
    assert found["grpc.max_connection_age_ms"] == NEVER
    assert found["grpc.max_connection_idle_ms"] == NEVER
    assert found["grpc.max_connection_age_grace_ms"] == 0  # a grace of nothing is none


def test_a_year_is_as_long_as_gRPC_can_count():  # noqa: N802 - its name
    """It counts milliseconds in 31 bits."""
    assert options(max_connection_idle_s=31_536_000)["grpc.max_connection_idle_ms"] == NEVER


@pytest.mark.parametrize("seed", range(20))
def test_connections_of_different_servers_age_differently(seed: int):
    """Within the share around the age that the operator names."""
    settings = GrpcSettings(max_connection_age_s=1000, max_connection_age_jitter=0.1)
    age_ms = dict(server_options(settings, random.Random(seed)))["grpc.max_connection_age_ms"]
    assert 900_000 <= age_ms <= 1_100_000
    assert age_ms != dict(server_options(settings, random.Random(seed + 1)))["grpc.max_connection_age_ms"]
