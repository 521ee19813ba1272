"""Where a server may listen: HOST:PORT, and which hosts nobody else can reach."""

import ipaddress
import re

_LABEL = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.IGNORECASE | re.ASCII)
_PORT = re.compile(r"\d{1,5}", re.ASCII)
_LAST_PORT = 65535


def check_host_port(text: str) -> str:
    """Return `text` if it says where to listen.

    Raises:
        ValueError: it does not; the sentence says what was expected and given.
    """
    split_host_port(text)
    return text


def split_host_port(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; HOST is a name, an IPv4 address or an IPv6 address in brackets (returned without them).

    Port 0 stands for any free port.

    Raises:
        ValueError: the text is something else.
    """
    host, colon, port = text.rpartition(":")
    is_port = _PORT.fullmatch(port) is not None and int(port) <= _LAST_PORT
    if not colon or not is_port or not _is_host(host):
        raise ValueError(
            f"expected HOST:PORT with a port from 0 to {_LAST_PORT} and an IPv6 host in brackets, got {text[:64]!r}"
        )
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`; a name other than localhost may be anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return _is_address(host[1:-1], version=6)
    if host.replace(".", "").isdigit():  # 127.0.0.300 is a mistake, not a name
        return _is_address(host, version=4)
    return _HOST_NAME.fullmatch(host) is not None


def _is_address(text: str, *, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
