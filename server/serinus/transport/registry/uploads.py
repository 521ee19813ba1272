"""Takes the stream of a registration apart: a header, then bytes of files, from clients that may stop or never stop."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import grpc.aio

from serinus.core.errors import DeadlinePassed, InvalidInput
from serinus.transport.callers import actor_of
from serinus.transport.guard import Context
from serinus.transport.registry.ports import Reads, Uploads
from serinus.transport.registry.requests import header_of
from serinus.transport.registry.writes import written
from serinus.transport.service import parse
from serinus_api.v1 import registry_pb2 as pb

LONGEST_CHUNK_BYTES = 4 << 20


class UploadStreams:
    """Reads the messages of RegisterModel for `uploads`.

    Header → chunks → registered, and the only answer; or refused at any message, and nothing stays.

    Attributes:
        uploads: Registers what was read; it knows how many bytes there must be and how slowly they may come.
        reads: Knows what names a version.
        stall_s: Longest wait for the header.
    """

    def __init__(self, uploads: Uploads, reads: Reads, *, stall_s: float) -> None:
        self._uploads = uploads
        self._reads = reads
        self._stall_s = stall_s

    async def register(self, context: Context) -> bytes:
        """Serve one stream.

        Raises:
            InvalidInput: the messages are not a header and then chunks.
            DeadlinePassed: the header does not come.
        """
        asked = await self._header(context)
        header = header_of(asked, actor_of(asked.actor, context))
        async with contextlib.aclosing(_chunks(context)) as chunks:
            done = await self._uploads.register(header, chunks)
        version = await written(self._reads, done.record)
        answer = pb.RegisterModelResponse(version=version, created=done.is_new, revision=done.revision)
        return answer.SerializeToString()

    async def _header(self, context: Context) -> pb.RegisterModelHeader:
        try:
            async with asyncio.timeout(self._stall_s) as limit:
                first = await _read(context)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise DeadlinePassed(f"nothing was sent for {self._stall_s:g} s", reason="UPLOAD_STALLED") from error
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidInput("expected a header first", reason="MISSING_HEADER", field="header")
        return first.header


async def _chunks(context: Context) -> AsyncGenerator[bytes]:
    while (message := await _read(context)) is not None:
        if message.WhichOneof("part") != "chunk":
            raise InvalidInput(
                "expected chunks after the header, got another header or an empty message",
                reason="UNEXPECTED_MESSAGE",
                field="chunk",
            )
        if len(message.chunk) > LONGEST_CHUNK_BYTES:
            raise InvalidInput(
                f"chunk: expected at most {LONGEST_CHUNK_BYTES} bytes, got {len(message.chunk)}",
                reason="CHUNK_TOO_LONG",
                field="chunk",
            )
        yield message.chunk


async def _read(context: Context) -> pb.RegisterModelRequest | None:
    """The next message, or None at the end."""
    message = await context.read()
    if message is grpc.aio.EOF:  # type: ignore[comparison-overlap]  # the stubs forget the end
        return None
    return parse(pb.RegisterModelRequest, message)
