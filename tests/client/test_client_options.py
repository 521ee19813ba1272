"""What a caller can choose about a connection."""

from pathlib import Path

import grpc
import numpy as np
import pytest

from serinus_client import NO_RETRIES, AsyncClient, FrameLimits, Tls, Unavailable
from serinus_client.options import channel_options
from tests.client.fake_server import FakeServer

# A self-signed certificate for `serinus.test`, valid for a century and trusted by these tests alone.
CERTIFICATE = Path(__file__).parent / "tls" / "server.pem"
KEY = Path(__file__).parent / "tls" / "server.key"
X = np.zeros((1, 2), np.float32)


def server_credentials(*, asks_clients):
    pair = (KEY.read_bytes(), CERTIFICATE.read_bytes())
    return grpc.ssl_server_credentials(
        [pair], CERTIFICATE.read_bytes() if asks_clients else None, require_client_auth=asks_clients
    )


@pytest.mark.parametrize("ca", [CERTIFICATE, str(CERTIFICATE), CERTIFICATE.read_bytes()])
async def test_tls_by_path_or_bytes(ca):
    """The server's name need not be the target's host."""
    async with (
        FakeServer(credentials=server_credentials(asks_clients=False)) as server,
        AsyncClient(server.target, tls=Tls(ca=ca, server_name="serinus.test")) as client,
    ):
        await client.predict("m", {"x": X})


async def test_a_client_certificate_is_shown_where_the_server_asks():
    """And a client without one is not served."""
    async with FakeServer(credentials=server_credentials(asks_clients=True)) as server:
        known = Tls(ca=CERTIFICATE, certificate=CERTIFICATE, key=KEY, server_name="serinus.test")
        async with AsyncClient(server.target, tls=known) as client:
            await client.predict("m", {"x": X})
        unknown = Tls(ca=CERTIFICATE, server_name="serinus.test")
        async with AsyncClient(server.target, tls=unknown, retry=NO_RETRIES) as client:
            with pytest.raises(Unavailable):
                await client.predict("m", {"x": X})


async def test_credentials_in_grpcs_own_words():
    """For what `Tls` does not say."""
    credentials = grpc.ssl_channel_credentials(CERTIFICATE.read_bytes())
    async with FakeServer(credentials=server_credentials(asks_clients=False)) as server:
        async with AsyncClient(server.target, credentials=credentials, retry=NO_RETRIES) as client:
            with pytest.raises(Unavailable):  # the certificate is not for 127.0.0.1
                await client.predict("m", {"x": X})
        with pytest.raises(ValueError, match="tls and credentials"):
            AsyncClient(server.target, credentials=credentials, tls=Tls())


def test_half_a_client_certificate_is_refused():
    """Both or neither; and a key is never shown."""
    with pytest.raises(ValueError, match="certificate and key"):
        Tls(certificate=CERTIFICATE)
    assert "secret" not in repr(Tls(certificate=b"public", key=b"secret"))


@pytest.mark.parametrize(
    "make", [lambda: FrameLimits(calls=0), lambda: FrameLimits(size_bytes=0), lambda: AsyncClient(timeout_s=0.0)]
)
def test_numbers_that_make_no_sense_are_refused(make):
    """With the number."""
    with pytest.raises(ValueError, match=r"got .*0"):
        make()


def test_a_message_holds_no_more_calls_than_servers_take():
    """One call more would end the stream, and all of its calls."""
    assert FrameLimits(calls=2048).calls == 2048
    with pytest.raises(ValueError, match="calls: expected 1 to 2048, got 2049"):
        FrameLimits(calls=2049)


def test_the_core_neither_retries_nor_pings_too_often():
    """Its retries know no budget; servers end connections that ping more often than every 10 s."""
    options = dict(channel_options("serinus.test"))
    assert options["grpc.enable_retries"] == 0
    assert options["grpc.keepalive_time_ms"] >= 10_000
    assert options["grpc.ssl_target_name_override"] == "serinus.test"
