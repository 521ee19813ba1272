"""Which URLs may be told about rollouts, and which addresses their hosts may have."""

import dataclasses
import ipaddress
from collections.abc import Collection, Sequence
from typing import Final

import httpx

from serinus.config.addresses import is_loopback
from serinus.config.errors import ConfigError

_LONGEST_URL = 2048
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
# What lies outside was never given to anybody, or for local use; `is_global` knows only some of it.
_GIVEN_OUT: Final = ipaddress.ip_network("2000::/3")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(Exception):
    """A host has an address that nothing is sent to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Hook:
    """A URL that may be told.

    Attributes:
        url: All of it; its path may be a secret.
        place: Scheme, host and port, for logs.
        is_local: Its host is this machine, as the operator says: it may have loopback addresses, and no other.
    """

    url: httpx.URL
    place: str
    is_local: bool

    @property
    def host(self) -> str:
        """As the wire has it: lower case, ASCII, an IPv6 address without brackets."""
        return self.url.raw_host.decode("ascii")

    @property
    def port(self) -> int:
        """The URL's own, or else that of its scheme."""
        return self.url.port or (443 if self.url.scheme == "https" else 80)


def check_url(url: str, hosts: Collection[str]) -> Hook:
    """Read a URL that is to be told.

    Args:
        url: https, or http to this machine.
        hosts: Names and addresses that URLs may have.

    Raises:
        ConfigError: nothing may be sent there; a sentence without what may be secret in the URL.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(["webhooks.urls: expected https://HOST/PATH, got something that is no URL"]) from error
    host = parsed.raw_host.decode("ascii")
    place = str(parsed.copy_with(path="/", query=None, fragment=None, username="", password="")).rstrip("/")
    if problem := _problem(parsed, host, {each.lower().strip("[]") for each in hosts}):
        raise ConfigError([f"webhooks.urls: {place[:256]!r}: {problem}"])
    return Hook(parsed, place, is_local=is_loopback(host))


def _problem(url: httpx.URL, host: str, hosts: Collection[str]) -> str:
    """Why nothing may be sent there; "" if it may."""
    if url.scheme not in {"http", "https"} or not host:
        return "expected https://HOST/PATH"
    if url.userinfo or url.fragment or len(str(url)) > _LONGEST_URL:
        return f"expected no user, no password, no fragment and at most {_LONGEST_URL} characters"
    if host not in hosts and url.host not in hosts:
        return "expected one of the hosts in webhooks.hosts"
    if url.scheme == "http" and not is_loopback(host):
        return "expected https; http is for this machine alone"
    address = _literal(host)
    if address is not None and not address.is_loopback and not is_public(address):
        return "expected a public address, or a loopback one"
    return ""


def checked_address(hook: Hook, addresses: Sequence[str]) -> str:
    """The address to connect to, out of those that the hook's host has at this moment.

    Raises:
        AddressRefused: it has none, or one of them is nobody's outside: then the name is not to be trusted at all.
    """
    for address in addresses:
        parsed = _literal(address)
        if parsed is None or not (parsed.is_loopback if hook.is_local else is_public(parsed)):
            raise AddressRefused(f"the host has the address {address[:64]}, to which nothing is sent")
    if not addresses:
        raise AddressRefused("the host has no address")
    return addresses[0]


def is_public(address: _Address) -> bool:
    """Whether an address belongs to a machine that anybody can reach, and so do those hidden in it."""
    hidden = _hidden(address)
    if hidden is not None:
        return is_public(hidden)
    if isinstance(address, ipaddress.IPv6Address):
        return address.is_global and address in _GIVEN_OUT
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _hidden(address: _Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to an IPv6 address of a transition mechanism end at."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
