"""Encrypted connections, from the SDK to the model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serinus.config.model_flags import parse_model_flag
from serinus_client import NO_RETRIES, AsyncClient, Tls, Transport, Unavailable
from tests.app.conftest import Running
from tests.support import models

TLS = Path(__file__).parent.parent / "client" / "tls"
CERTIFICATE, KEY = TLS / "server.pem", TLS / "server.key"
ENCRYPTED = {"grpc__tls_cert": str(CERTIFICATE), "grpc__tls_key": str(KEY)}
MUTUAL = {**ENCRYPTED, "grpc__tls_client_ca": str(CERTIFICATE)}


@pytest.fixture
def named(tmp_path: Path) -> list[Any]:
    (tmp_path / "identity.onnx").write_bytes(models.identity())
    return [parse_model_flag("identity=identity.onnx", cwd=tmp_path)]


async def called(port: int, tls: Tls | None, transport: Transport = Transport.FRAMES) -> list[list[float]]:
    """What a call over such a connection answers."""
    client = AsyncClient(f"127.0.0.1:{port}", tls=tls, transport=transport, timeout_s=20, retry=NO_RETRIES)
    async with client:
        answer = await client.predict("identity", {"x": np.array([[1, 2]], np.float32)})
    values: list[list[float]] = answer["y"].tolist()
    return values


@pytest.mark.parametrize("transport", Transport)
async def test_a_client_that_knows_the_certificate_is_answered(
    running: Running, named: list[Any], transport: Transport
):
    """In frames and call by call."""
    async with running(models=named, **ENCRYPTED) as server:
        tls = Tls(ca=CERTIFICATE, server_name="serinus.test")
        assert await called(server.grpc_port, tls, transport) == [[1.0, 2.0]]


async def test_a_client_that_does_not_know_it_or_speaks_in_the_clear_is_not(running: Running, named: list[Any]):
    """And the server goes on."""
    async with running(models=named, **ENCRYPTED) as server:
        for tls in (None, Tls(server_name="serinus.test")):
            with pytest.raises(Unavailable):
                await called(server.grpc_port, tls)
        assert await called(server.grpc_port, Tls(ca=CERTIFICATE, server_name="serinus.test")) == [[1.0, 2.0]]


async def test_a_server_that_asks_for_certificates_answers_those_who_have_one(running: Running, named: list[Any]):
    """Signed by whom the operator trusts."""
    async with running(models=named, **MUTUAL) as server:
        with pytest.raises(Unavailable):
            await called(server.grpc_port, Tls(ca=CERTIFICATE, server_name="serinus.test"))
        own = Tls(ca=CERTIFICATE, certificate=CERTIFICATE, key=KEY, server_name="serinus.test")
        assert await called(server.grpc_port, own) == [[1.0, 2.0]]
