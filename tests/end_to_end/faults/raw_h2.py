"""One gRPC call spoken by hand over HTTP/2, for what no gRPC client would send."""

import asyncio
import dataclasses
import struct
from collections.abc import Sequence

import grpc
import h2.config
import h2.connection
import h2.events

_LONGEST_S = 30
_CODES = {str(code.value[0]): code for code in grpc.StatusCode}


@dataclasses.dataclass
class RawEnd:
    """How the call ended.

    Attributes:
        code: From the trailers; None if the connection ended without any.
        message: From the trailers.
        content: The bytes of the answer, with their 5-byte prefixes.
    """

    code: grpc.StatusCode | None = None
    message: str = ""
    content: bytes = b""


def prefixed(message: bytes, *, claim: int | None = None, flag: int = 0) -> bytes:
    """A message with its length prefix, or with another length that it claims, and its compression flag."""
    return struct.pack(">BI", flag, len(message) if claim is None else claim) + message


async def raw_call(
    port: int, path: str, data: bytes, *, headers: Sequence[tuple[str, str]] = (), is_whole: bool = True
) -> RawEnd:
    """Make a call.

    Args:
        port: Of the server.
        path: "/package.Service/Method".
        data: The body as it goes over the wire.
        headers: Besides those of every call.
        is_whole: Whether the body ends; otherwise the server waits for more, or does not.

    Raises:
        TimeoutError: nothing ended within 30 s.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    usual = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
    connection.send_headers(1, [*usual, ("content-type", "application/grpc"), ("te", "trailers"), *headers])
    end = RawEnd()
    try:
        async with asyncio.timeout(_LONGEST_S):
            while True:
                data = _send_what_fits(connection, data, is_whole=is_whole)
                writer.write(connection.data_to_send())
                received = await reader.read(1 << 16)
                if not received or _hear(connection, received, end):
                    return end
    finally:
        writer.close()


def _send_what_fits(connection: h2.connection.H2Connection, data: bytes, *, is_whole: bool) -> bytes:
    """Send as much as flow control allows; return the rest."""
    while data and (room := min(connection.local_flow_control_window(1), connection.max_outbound_frame_size)):
        part, data = data[:room], data[room:]
        connection.send_data(1, part, end_stream=is_whole and not data)
    return data


def _hear(connection: h2.connection.H2Connection, received: bytes, end: RawEnd) -> bool:
    """Note what came in; whether the call is over."""
    for event in connection.receive_data(received):
        match event:
            case h2.events.DataReceived():
                end.content += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                said = dict(event.headers)
                if "grpc-status" in said:
                    end.code, end.message = _CODES[said["grpc-status"]], said.get("grpc-message", "")
                    return True
            case h2.events.StreamReset() | h2.events.StreamEnded() | h2.events.ConnectionTerminated():
                return True
    return False
