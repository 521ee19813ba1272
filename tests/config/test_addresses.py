import pytest

from serinus.config.addresses import is_loopback, split_host_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8001", ("127.0.0.1", 8001)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::]:1", ("::", 1)),
        ("models.example.com:8001", ("models.example.com", 8001)),
    ],
)
def test_a_host_and_a_port_are_split(text, expected):
    """Names, IPv4 addresses and bracketed IPv6 addresses are hosts."""
    assert split_host_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8001",
        ":8001",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:٣",
        "127.0.0.300:1",
        "::1:8001",
        "[::1:8001",
        "[127.0.0.1]:1",
        "bad host:1",
        "-x:1",
        "unix:/run/serinus.sock",
        "http://localhost:8001",
    ],
)
def test_anything_else_is_refused_with_the_range(text):
    """The sentence says the form, the range and what was given."""
    with pytest.raises(ValueError, match="expected HOST:PORT") as caught:
        split_host_port(text)
    assert str(caught.value) == (
        f"expected HOST:PORT with a port from 0 to 65535 and an IPv6 host in brackets, got {text!r}"
    )


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_only_loopback_hosts_are_private(host, expected):
    """A wildcard and any name but localhost may be reached from elsewhere."""
    assert is_loopback(host) is expected
