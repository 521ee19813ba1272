"""A server that stops listening goes on with whoever is connected."""

import os
import random
import socket

import grpc
import grpc.aio
import pytest

from serinus.config.sections import GrpcSettings
from serinus.transport.listeners import stop_listening
from serinus.transport.server import GrpcServer, PortUse


class Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details):  # noqa: ARG002 - its name is part of the interface
        async def echo(message, _context):
            return message

        return grpc.unary_unary_rpc_method_handler(echo)


def server(port: int, use: PortUse) -> GrpcServer:
    settings = GrpcSettings(host_port=f"127.0.0.1:{port}")
    return GrpcServer(settings, handlers=[Echo()], tls=None, rng=random.Random(1), use=use)


async def test_new_connections_find_the_other_server_and_old_ones_go_on():
    """What a worker does before it leaves; its own clients are not cut off."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        async with server(port, PortUse.SHARED) as leaving, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/a/b")
            assert await call(b"before") == b"before"
            leaving.stop_listening()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            async with server(port, PortUse.SHARED):
                for _ in range(8):
                    socket.create_connection(("127.0.0.1", port)).close()
            assert await call(b"after") == b"after"


async def test_a_port_is_shared_only_by_those_who_say_so():
    """Else each of two servers would get a part of the calls."""
    async with server(0, PortUse.SHARED) as first:
        with pytest.raises(OSError, match="is another server using the port"):
            server(first.port, PortUse.ALONE)


def test_only_listeners_of_that_port_are_ended():
    """And connections from it are none."""
    with socket.create_server(("127.0.0.1", 0)) as ended, socket.create_server(("127.0.0.1", 0)) as other:
        port = ended.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            accepted, _ = ended.accept()
            assert (stop_listening(port), stop_listening(port)) == (1, 0)
            connection.sendall(b"x")
            assert accepted.recv(1) == b"x"
            accepted.close()
        socket.create_connection(other.getsockname()).close()


def test_nothing_is_left_open():
    """What is no socket stays as it was: whoever reads a pipe hears when its only writer closes it."""
    reading, writing = os.pipe()
    stop_listening(1)
    os.close(writing)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b""
    os.close(reading)
