"""Where replicas are: what a caller may write as a target, and the addresses that it stands for."""

import asyncio
import dataclasses
import socket
from collections.abc import Sequence
from typing import Any

from serinus_client.errors import Unavailable

_DNS = "dns:"
_SCHEMES = ("ipv4:", "ipv6:", "unix:", "unix-abstract:", "vsock:", "xds:")


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """One replica.

    Attributes:
        target: What gRPC connects to.
        host: The name that it was found under, which its certificate has to show; "" where `target` says it.
    """

    target: str
    host: str = ""


def joined(target: str | Sequence[str]) -> str:
    """One text for what a caller may write as several."""
    return target if isinstance(target, str) else ",".join(target)


def replicas_in(target: str) -> tuple[str, ...]:
    """The replicas that "host1:port,host2:port" names, each once, in the order of the text.

    A target with one of gRPC's own schemes is one replica, whatever stands in it; those with `dns:` are named by
    `resolved`.

    Raises:
        ValueError: none is named.
    """
    parts = [target] if target.startswith(_SCHEMES) else [part.strip() for part in target.split(",")]
    if not all(parts):
        raise ValueError(f"target: expected host:port, or several with commas between them, got {target!r}")
    return tuple(dict.fromkeys(parts))


def is_name(replica: str) -> bool:
    """Whether it stands for all addresses of a DNS name."""
    return replica.startswith(_DNS)


async def resolved(replica: str) -> tuple[Address, ...]:
    """The addresses behind `dns:///host:port`, sorted; any other replica is its own address.

    Raises:
        Unavailable: the name cannot be resolved now.
    """
    if not is_name(replica):
        return (Address(replica),)
    authority = replica.rpartition("/")[2].removeprefix(_DNS)
    host, _, port = authority.rpartition(":")
    host = host.strip("[]")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unavailable(f"cannot resolve {authority!r}: {error}", reason="NAME_NOT_RESOLVED") from error
    texts = {_address(family, place) for family, _kind, _protocol, _name, place in found}
    return tuple(Address(text, host) for text in sorted(texts))


def _address(family: int, place: tuple[Any, ...]) -> str:
    host, port = place[:2]
    return f"ipv6:[{host}]:{port}" if family == socket.AF_INET6 else f"ipv4:{host}:{port}"
