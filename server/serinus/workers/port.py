"""Claims the port that all workers share: refuses one that somebody has, and keeps it while no worker listens.

Sockets with SO_REUSEPORT share a port in silence. So the supervisor first sees that it can have the port for itself,
and then holds it, bound and not listening, for as long as it lives.
"""

import contextlib
import dataclasses
import errno
import ipaddress
import os
import socket
from types import TracebackType
from typing import Self

_TRIES = 16  # of ports that are free on the host's first address and taken on another

_LINGERING_IS_FINE = (socket.SO_REUSEADDR,)  # connections of a server that has just ended do not keep the port

Address = tuple[socket.AddressFamily, str]


@dataclasses.dataclass(frozen=True, slots=True)
class SharedPort:
    """A port that this process has claimed; a context manager, which gives it back.

    Attributes:
        number: What it turned out to be, where any was asked for.
    """

    number: int
    _held: contextlib.ExitStack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


def claim_port(host: str, port: int) -> SharedPort:
    """Claim a port on every address of `host`; 0 stands for any that is free on all of them.

    Raises:
        OSError: it cannot be had; `strerror` says why, to follow the address and a colon.
    """
    addresses = _addresses(host)
    for is_last in (*(False,) * (_TRIES - 1), True):
        try:
            return _claim(addresses, port)
        except OSError as error:
            # A port that was asked for by number is this one or none.
            if port or is_last or error.errno != errno.EADDRINUSE:
                raise OSError(error.errno, _why(error)) from error
    raise AssertionError("the last try returns or raises: this is a bug")


def _claim(addresses: list[Address], port: int) -> SharedPort:
    with contextlib.ExitStack() as held:
        for address in addresses:
            _bound(address, port, _LINGERING_IS_FINE).close()
            mine = held.enter_context(_shared(address, port))
            port = mine.getsockname()[1]
        return SharedPort(port, held.pop_all())


def _shared(address: Address, port: int) -> socket.socket:
    """A socket that workers can listen beside, and others cannot."""
    try:
        return _bound(address, port, (socket.SO_REUSEPORT,))
    except OSError:
        # Connections linger of a server that did not share its port. What overlooks them also overlooks this claim: a
        # stranger could listen while no worker does.
        return _bound(address, port, (socket.SO_REUSEPORT, *_LINGERING_IS_FINE))


def _bound(address: Address, port: int, options: tuple[int, ...]) -> socket.socket:
    family, host = address
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in options:
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        if family is socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _addresses(host: str) -> list[Address]:
    """What gRPC's server would listen on: every address of a name, and both families for all addresses."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_unspecified:
            both = [(socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")]  # noqa: S104 - the operator's decision
            return [address for address in both if _has(address[0])]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise OSError(errno.EINVAL, "no such host") from error
    return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found if _has(family)))


def _has(family: socket.AddressFamily) -> bool:
    """Whether this machine speaks it."""
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is another server using the port?"
    return os.strerror(error.errno or errno.EINVAL)
