"""Where webhooks may be sent to."""

import ipaddress

import pytest

from serinus.config.errors import ConfigError
from serinus.transport.webhooks.urls import AddressRefused, check_url, checked_address, is_public

HOSTS = (
    "hooks.example",
    "127.0.0.1",
    "localhost",
    "8.8.8.8",
    "[::1]",
    "169.254.169.254",
    "0x7f.1",
    "xn--bcher-kva.example",
)


@pytest.mark.parametrize(
    ("url", "place", "host", "port", "is_local"),
    [
        ("https://hooks.example/T0/secret?a=b", "https://hooks.example", "hooks.example", 443, False),
        ("https://HOOKS.Example:8443", "https://hooks.example:8443", "hooks.example", 8443, False),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000", "127.0.0.1", 9000, True),
        ("http://localhost/x", "http://localhost", "localhost", 80, True),
        ("https://[::1]:9/x", "https://[::1]:9", "::1", 9, True),
        ("https://8.8.8.8/", "https://8.8.8.8", "8.8.8.8", 443, False),
        ("https://bücher.example/", "https://xn--bcher-kva.example", "xn--bcher-kva.example", 443, False),
    ],
)
def test_a_listed_host_may_be_told(url, place, host, port, is_local):
    """Its path, which may be a secret, is not part of what the log says."""
    hook = check_url(url, HOSTS)
    assert (hook.place, hook.host, hook.port, hook.is_local) == (place, host, port, is_local)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hooks.example/x", "'http://hooks.example': expected https; http is for this machine alone"),
        ("http://8.8.8.8/x", "'http://8.8.8.8': expected https; http is for this machine alone"),
        ("https://other.example/x", "'https://other.example': expected one of the hosts in webhooks.hosts"),
        ("https://hooks.example.evil.example", "expected one of the hosts in webhooks.hosts"),
        ("https://evil.example/?hooks.example", "expected one of the hosts in webhooks.hosts"),
        ("https://hooks.example@evil.example/", "expected no user, no password"),
        ("https://user:secret@hooks.example/", "'https://hooks.example': expected no user, no password"),
        ("https://hooks.example/#x", "expected no user, no password, no fragment"),
        ("https://hooks.example/" + "x" * 2048, "at most 2048 characters"),
        ("https://169.254.169.254/latest/meta-data", "expected a public address, or a loopback one"),
        ("file:///etc/passwd", "expected https://HOST/PATH"),
        ("gopher://hooks.example/", "expected https://HOST/PATH"),
        ("//hooks.example/", "expected https://HOST/PATH"),
        ("hooks.example", "expected https://HOST/PATH"),
        ("", "expected https://HOST/PATH"),
        ("https://", "expected https://HOST/PATH"),
        ("https://hooks.example:port/", "got something that is no URL"),
        ("https://hooks.example/\n", "got something that is no URL"),
    ],
)
def test_anything_else_is_refused_at_start(url, problem):
    """In a sentence that names the setting and no secret."""
    with pytest.raises(ConfigError) as caught:
        check_url(url, HOSTS)
    assert str(caught.value).startswith("webhooks.urls: ")
    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_host_is_listed_by_default():
    """An allow-list that is empty allows nothing."""
    with pytest.raises(ConfigError, match=r"expected one of the hosts in webhooks\.hosts"):
        check_url("https://hooks.example/", ())


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff0e::1", False),
    ],
)
def test_public_is_what_anybody_can_reach(address, public):
    """However the address is wrapped."""
    assert is_public(ipaddress.ip_address(address)) == public


def test_every_address_of_a_name_must_be_public():
    """One that is not says whose name it is."""
    hook = check_url("https://hooks.example/", HOSTS)
    assert checked_address(hook, ["8.8.8.8", "2606:4700::1"]) == "8.8.8.8"
    for addresses in (["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["no address"], []):
        with pytest.raises(AddressRefused):
            checked_address(hook, addresses)


def test_a_loopback_host_has_loopback_addresses_alone():
    """A name for this machine that leads elsewhere is not followed."""
    hook = check_url("http://localhost/", HOSTS)
    assert checked_address(hook, ["127.0.0.1", "::1"]) == "127.0.0.1"
    for addresses in (["8.8.8.8"], ["127.0.0.1", "10.0.0.1"]):
        with pytest.raises(AddressRefused):
            checked_address(hook, addresses)


def test_a_number_that_resolvers_take_for_an_address_is_checked_as_one():
    """`0x7f.1` is a name until somebody looks it up."""
    hook = check_url("https://0x7f.1/", HOSTS)
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        checked_address(hook, ["127.0.0.1"])
