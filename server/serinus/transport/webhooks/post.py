"""Sends one signed message to one URL, over a connection to an address that was looked at first."""

import asyncio
import hashlib
import hmac
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from serinus.config.errors import ConfigError
from serinus.transport.webhooks.urls import AddressRefused, Hook, checked_address

SIGNATURE: Final = "Serinus-Signature"
"""`t=<seconds since 1970>,v1=<hexadecimal HMAC-SHA256 of "t.body">`."""
MESSAGE_ID: Final = "Idempotency-Key"
"""The same for each try to deliver the same message."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, for a port; raises OSError."""

_SHORTEST_SECRET = 16  # bytes; anything shorter can be guessed from one signed message
# What a receiver says about this one message, which it will say again; all else may be repaired while we try.
_ABOUT_THE_MESSAGE = frozenset({400, 413, 415, 422})


class NotDelivered(Exception):
    """The message did not arrive; another try may do better. The text is a sentence for the log."""


class Rejected(Exception):
    """The receiver has understood the message and does not want it. The text is a sentence for the log."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses that this machine's resolver has for a host.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def read_secret(path: Path | None) -> bytes:
    """What messages are signed with, without the white space around it; b"" for nothing.

    Raises:
        ConfigError: the file cannot be read, or what it holds is too short.
    """
    if path is None:
        return b""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError([f"webhooks.secret_file: {str(path)!r} cannot be read: {error.strerror}"]) from error
    if len(secret) < _SHORTEST_SECRET:
        raise ConfigError([f"webhooks.secret_file: expected at least {_SHORTEST_SECRET} bytes, got {len(secret)}"])
    return secret


def signature(secret: bytes, body: bytes, at: int) -> str:
    """What the header `SIGNATURE` says of a body that is sent at that time, in seconds since 1970."""
    digest = hmac.new(secret, b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


class Post:
    """Sends messages, each over a connection of its own.

    The host is looked up once for each message and the connection made to the very address that was checked, so that
    a name which changes its address between the two leads nowhere. Proxies of the environment are not used, redirects
    not followed, answers not read.

    Attributes:
        secret: Signs; b"" signs nothing.
        timeout_s: Longest time for one message, the lookup included.
        clock: Seconds since 1970.
        resolve: Looks hosts up.
        tls: What makes a receiver's certificate good.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        timeout_s: float,
        clock: Callable[[], float],
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._secret = secret
        self._timeout_s = timeout_s
        self._clock = clock
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    async def send(self, hook: Hook, message_id: str, body: bytes) -> None:
        """Send a message once.

        Raises:
            NotDelivered: it did not arrive.
            Rejected: the receiver does not want it.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await self._post(hook, message_id, body)
        except TimeoutError as error:
            raise NotDelivered(f"no answer within {self._timeout_s:g} s") from error
        except AddressRefused as error:
            raise NotDelivered(str(error)) from error
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            # Only what kind of error: its text may hold the URL.
            raise NotDelivered(f"the connection failed: {type(error).__name__}") from error
        if status in _ABOUT_THE_MESSAGE:
            raise Rejected(f"the receiver answered {status}")
        if not httpx.codes.is_success(status):
            note = ", and redirects are not followed" if httpx.codes.is_redirect(status) else ""
            raise NotDelivered(f"the receiver answered {status}{note}")

    async def _post(self, hook: Hook, message_id: str, body: bytes) -> int:
        address = checked_address(hook, await self._resolve(hook.host, hook.port))
        headers = {
            "Host": hook.url.netloc.decode("ascii"),
            "Content-Type": "application/json",
            "User-Agent": "serinus",
            MESSAGE_ID: message_id,
        }
        if self._secret:
            headers[SIGNATURE] = signature(self._secret, body, int(self._clock()))
        # A client for each message: it would keep cookies, and connections under the address instead of the name.
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=self._timeout_s) as client,
            client.stream(
                "POST",
                hook.url.copy_with(host=address),
                content=body,
                headers=headers,
                # The certificate is to be that of the name.
                extensions={"sni_hostname": hook.host},
            ) as response,
        ):
            return response.status_code
