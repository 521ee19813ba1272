"""Takes the stream of a registration apart: a header, then bytes of files, from clients that may stop or never stop."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio

from serinus.core.errors import DeadlinePassed, InvalidInput
from serinus.transport.callers import actor_of
from serinus.transport.guard import Context
from serinus.transport.registry_ports import Reads, Uploads
from serinus.transport.registry_requests import header_of
from serinus.transport.registry_writes import written
from serinus.transport.service import parse
from serinus_api.v1 import registry_pb2 as pb

LONGEST_CHUNK_BYTES = 4 << 20


class UploadStreams:
    """Reads the messages of RegisterModel for `uploads`.

    Header → chunks → registered, and the only answer; or refused at any message, and nothing stays.

    Attributes:
        uploads: Registers what was read.
        reads: Knows what names a version.
        stall_s: Longest wait for the next message, while somebody asks for one.
    """

    def __init__(self, uploads: Uploads, reads: Reads, *, stall_s: float) -> None:
        self._uploads = uploads
        self._reads = reads
        self._stall_s = stall_s

    async def register(self, context: Context) -> bytes:
        """Serve one stream.

        Raises:
            InvalidInput: the messages are not a header and then chunks, or hold more bytes than the header says.
            DeadlinePassed: the client stalled.
        """
        first = await self._read(context)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInput("expected a header first", reason="MISSING_HEADER", field="header")
        header = header_of(first.header, actor_of(first.header.actor, context))
        most_bytes = sum(file.size_bytes for file in header.files)
        done = await self._uploads.register(header, self._chunks(context, most_bytes))
        version = await written(self._reads, done.record)
        answer = pb.RegisterModelResponse(version=version, created=done.is_new, revision=done.revision)
        return answer.SerializeToString()

    async def _chunks(self, context: Context, most_bytes: int) -> AsyncIterator[bytes]:
        received = 0
        while (message := await self._read(context)) is not None:
            if message.WhichOneof("part") != "chunk":
                raise InvalidInput(
                    "expected chunks after the header, got another header or an empty message",
                    reason="UNEXPECTED_MESSAGE",
                    field="chunk",
                )
            chunk = message.chunk
            if len(chunk) > LONGEST_CHUNK_BYTES:
                raise InvalidInput(
                    f"chunk: expected at most {LONGEST_CHUNK_BYTES} bytes, got {len(chunk)}",
                    reason="CHUNK_TOO_LONG",
                    field="chunk",
                )
            received += len(chunk)
            if received > most_bytes:
                raise InvalidInput(
                    f"chunk: expected at most the {most_bytes} bytes that the header says, got more",
                    reason="TOO_MANY_BYTES",
                    field="chunk",
                )
            if chunk:
                yield chunk

    async def _read(self, context: Context) -> pb.RegisterModelRequest | None:
        """The next message, or None at the end."""
        try:
            async with asyncio.timeout(self._stall_s) as limit:
                message = await context.read()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlinePassed(
                f"the upload stalled: expected the next message within {self._stall_s:g} s", reason="UPLOAD_STALLED"
            ) from error
        if message is grpc.aio.EOF:  # type: ignore[comparison-overlap]  # the stubs forget the end
            return None
        return parse(pb.RegisterModelRequest, message)
