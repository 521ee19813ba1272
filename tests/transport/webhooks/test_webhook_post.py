"""One message to one URL, over real connections."""

import hashlib
import hmac
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from serinus.config.errors import ConfigError
from serinus.transport.webhooks.post import NotDelivered, Post, Rejected, read_secret, signature
from serinus.transport.webhooks.urls import Hook, check_url
from tests.support.receivers import receiving

TLS = Path(__file__).parent / "tls"
SECRET = b"0123456789abcdef"
BODY = b'{"status": "running"}'


def post(*, secret: bytes = SECRET, timeout_s: float = 10, **parts) -> Post:
    return Post(secret=secret, timeout_s=timeout_s, clock=lambda: 1234.5, **parts)


def local(port: int, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> Hook:
    return check_url(f"{scheme}://{host}:{port}{path}", ["127.0.0.1", "localhost", "hooks.example"])


def trusting() -> ssl.SSLContext:
    """Trusts the test's own certificate, which is good for the name localhost."""
    return ssl.create_default_context(cafile=TLS / "localhost.pem")


def serving() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")
    return context


async def test_a_message_arrives_signed():
    """As a receiver checks it: with the secret, the time and the bytes."""
    async with receiving() as receiver:
        await post().send(local(receiver.port, "/a/b?c=d"), "r-1:7", BODY)
    (got,) = receiver.requests
    names = ("host", "content-type", "idempotency-key", "user-agent")
    assert (got.path, got.body, [got.headers[name] for name in names]) == (
        "/a/b?c=d",
        BODY,
        [f"127.0.0.1:{receiver.port}", "application/json", "r-1:7", "serinus"],
    )
    expected = hmac.new(SECRET, b"1234." + BODY, hashlib.sha256).hexdigest()
    assert got.headers["serinus-signature"] == f"t=1234,v1={expected}" == signature(SECRET, BODY, 1234)


async def test_without_a_secret_nothing_is_signed():
    """Rather than signed with nothing."""
    async with receiving() as receiver:
        await post(secret=b"").send(local(receiver.port), "r-1:7", BODY)
    assert "serinus-signature" not in receiver.requests[0].headers


async def test_the_certificate_is_that_of_the_name():
    """Although the connection is made to an address."""
    async with receiving(serving()) as receiver:
        await post(tls=trusting()).send(local(receiver.port, host="localhost", scheme="https"), "r-1:7", BODY)
        assert [got.headers["host"] for got in receiver.requests] == [f"localhost:{receiver.port}"]
        for hook, tls in (
            (local(receiver.port, host="127.0.0.1", scheme="https"), trusting()),
            (local(receiver.port, host="localhost", scheme="https"), None),
        ):
            with pytest.raises(NotDelivered, match="the connection failed: ConnectError"):
                await post(tls=tls).send(hook, "r-1:7", BODY)
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status):
    """Wherever it leads, nothing is sent there."""
    async with receiving() as elsewhere, receiving() as receiver:
        receiver.statuses, receiver.headers = [status], {"Location": f"http://127.0.0.1:{elsewhere.port}/x"}
        with pytest.raises(NotDelivered, match=f"the receiver answered {status}, and redirects are not followed"):
            await post().send(local(receiver.port), "r-1:7", BODY)
    assert (len(receiver.requests), elsewhere.requests) == (1, [])


@pytest.mark.parametrize("status", [500, 503, 401, 403, 404, 408, 410, 429])
async def test_what_may_be_repaired_is_not_delivered(status):
    """Another try may do better."""
    async with receiving() as receiver:
        receiver.statuses = [status]
        with pytest.raises(NotDelivered, match=f"the receiver answered {status}$"):
            await post().send(local(receiver.port), "r-1:7", BODY)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
async def test_what_the_receiver_does_not_want_is_rejected(status):
    """It would say the same again."""
    async with receiving() as receiver:
        receiver.statuses = [status]
        with pytest.raises(Rejected, match=f"the receiver answered {status}$"):
            await post().send(local(receiver.port), "r-1:7", BODY)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1", "0.0.0.0"]
)
async def test_a_public_name_with_a_private_address_gets_no_packet(address):
    """Whoever owns the name does not own this network."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("hooks.example", receiver.port)
        return ["8.8.8.8", address]

    async with receiving(serving()) as receiver:
        hook = local(receiver.port, host="hooks.example", scheme="https")
        with pytest.raises(NotDelivered, match="to which nothing is sent"):
            await post(resolve=resolve).send(hook, "r-1:7", BODY)
    assert receiver.requests == []


async def test_a_name_is_looked_up_once_and_the_checked_address_is_used():
    """A second answer, which nobody has checked, leads nowhere."""
    looked_up: list[str] = []

    async def rebinding(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["10.0.0.1"]

    async with receiving() as receiver:
        sender = post(resolve=rebinding)
        await sender.send(local(receiver.port, host="localhost"), "r-1:7", BODY)
        assert (looked_up, len(receiver.requests)) == (["localhost"], 1)
        with pytest.raises(NotDelivered, match=r"the address 10\.0\.0\.1, to which nothing is sent"):
            await sender.send(local(receiver.port, host="localhost"), "r-1:8", BODY)
    assert len(receiver.requests) == 1


async def test_cookies_play_no_part():
    """A receiver is told the same each time."""
    async with receiving() as receiver:
        receiver.headers = {"Set-Cookie": "a=b"}
        sender = post()
        for _ in range(2):
            await sender.send(local(receiver.port), "r-1:7", BODY)
    assert ["cookie" in got.headers for got in receiver.requests] == [False, False]


async def test_a_receiver_that_does_not_answer_is_left():
    """After the time that the settings give, all together."""
    async with receiving() as receiver:
        receiver.silent.set()
        with pytest.raises(NotDelivered, match=r"no answer within 0\.2 s"):
            await post(timeout_s=0.2).send(local(receiver.port), "r-1:7", BODY)


async def test_nobody_there_is_not_delivered():
    """No such host, no such port; the sentence does not repeat the URL."""

    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known: hooks.example")

    with pytest.raises(NotDelivered, match=r"^the connection failed: gaierror$"):
        await post(resolve=unknown).send(local(1), "r-1:7", BODY)
    with pytest.raises(NotDelivered, match=r"^the connection failed: ConnectError$"):
        await post().send(local(1), "r-1:7", BODY)


def test_the_secret_is_what_the_file_says(tmp_path):
    """Editors end files with a line break."""
    assert read_secret(None) == b""
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    assert read_secret(tmp_path / "secret") == SECRET


def test_a_secret_that_cannot_be_used_is_refused(tmp_path):
    """Without showing any of it."""
    with pytest.raises(ConfigError, match=r"webhooks\.secret_file: .* cannot be read: No such file"):
        read_secret(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"webhooks\.secret_file: expected at least 16 bytes, got 5"):
        read_secret(tmp_path / "secret")
