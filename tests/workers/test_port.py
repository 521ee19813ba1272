"""A port that several processes of one server share, and nobody else."""

import socket

import pytest

from serinus.workers.port import claim_port


def shared_listener(host: str, port: int) -> socket.socket:
    """What a worker's gRPC server opens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, reuse_port=True)


@pytest.mark.parametrize(
    ("claimed", "listened"), [("127.0.0.1",) * 2, ("::1",) * 2, ("localhost", "127.0.0.1"), ("0.0.0.0", "::")]
)
def test_workers_share_the_port(claimed, listened):
    """Two of them listen beside the claim."""
    with (
        claim_port(claimed, 0) as port,
        shared_listener(listened, port.number),
        shared_listener(listened, port.number) as second,
    ):
        assert second.getsockname()[1] == port.number


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_somebody_has_is_refused(reuse_port):
    """Also where that somebody would share it: half of the calls would go there."""
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=reuse_port) as taken,
        pytest.raises(OSError, match="is another server using the port") as caught,
    ):
        claim_port("127.0.0.1", taken.getsockname()[1])
    assert caught.value.strerror == "is another server using the port?"


def test_a_port_is_refused_that_only_one_of_the_hosts_addresses_lacks():
    """`localhost` is both 127.0.0.1 and ::1 where both exist; somebody on one of them has half of the clients."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="another server"):
        claim_port("localhost", taken.getsockname()[1])


def test_a_second_claim_is_refused():
    """Two servers with workers."""
    with claim_port("127.0.0.1", 0) as first, pytest.raises(OSError, match="another server"):
        claim_port("127.0.0.1", first.number)


def test_a_stranger_cannot_listen_while_no_worker_does():
    """All of them may be starting again; what most servers set would let it pass a claim that sets it, too."""
    with claim_port("127.0.0.1", 0) as port, socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="Address already in use"):
            stranger.bind(("127.0.0.1", port.number))


def test_the_port_is_free_again_afterwards():
    """The claim is given back, and connections that linger do not matter."""
    with (
        claim_port("127.0.0.1", 0) as port,
        shared_listener("127.0.0.1", port.number) as listener,
        socket.create_connection(("127.0.0.1", port.number)),
    ):
        listener.accept()[0].close()  # closed here first: it lingers on this side
    with claim_port("127.0.0.1", port.number) as again:
        assert again.number == port.number


def test_a_host_that_does_not_exist_is_refused():
    """In words."""
    with pytest.raises(OSError, match="no such host") as caught:
        claim_port("nowhere.invalid", 0)
    assert caught.value.strerror == "no such host"
