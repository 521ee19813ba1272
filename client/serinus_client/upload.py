"""Sends a version's files: hashes them first, asks which of them the server has, and streams the others."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.bundle import Bundle
from serinus_client.errors import InvalidInput
from serinus_client.session import Session

FIND_ARTIFACTS = "/serinus.v1.RegistryService/FindArtifacts"
REGISTER_MODEL = "/serinus.v1.RegistryService/RegisterModel"

CHUNK_BYTES = 1 << 20  # a quarter of what a server takes in one message
_HASHED_BYTES = 8 << 20  # at once, in a thread: a caller who gives up waits for no more than this

_MISALIGNED = {"WRONG_SIZE", "HASH_MISMATCH"}  # what the server says of bytes that it did not expect, or not there
_MOST_CHANGES = 3

OnProgress = Callable[[int, int], None]
"""Called with bytes sent and bytes to send."""


async def hashed(bundle: Bundle) -> list[pb.ArtifactFile]:
    """Every file of the bundle with its hash.

    Raises:
        InvalidInput: a file cannot be read.
    """
    files = []
    for path, file in bundle.files.items():
        digest, size_bytes = hashlib.sha256(), 0
        async with contextlib.aclosing(pieces(file, _HASHED_BYTES)) as content:
            async for piece in content:
                await asyncio.to_thread(digest.update, piece)
                size_bytes += len(piece)
        files.append(pb.ArtifactFile(path=path, sha256=digest.hexdigest(), size_bytes=size_bytes))
    return files


async def upload(
    session: Session, bundle: Bundle, header: pb.RegisterModelHeader, deadline: float, on_progress: OnProgress
) -> pb.RegisterModelResponse:
    """Register once, sending only what the server does not have.

    Raises:
        SerinusError: it was not registered.
    """
    present = await _present(session, header, deadline)
    for _ in range(_MOST_CHANGES):
        try:
            return await _send(session, bundle, header, present, deadline, on_progress)
        except InvalidInput as error:
            if error.reason not in _MISALIGNED:
                raise
            # Somebody else may have brought or removed a file between the question and the stream.
            before, present = present, await _present(session, header, deadline)
            if present == before:
                raise
    return await _send(session, bundle, header, present, deadline, on_progress)


async def _present(session: Session, header: pb.RegisterModelHeader, deadline: float) -> frozenset[str]:
    """Hashes of files that the server has."""
    found = await session.ask(
        FIND_ARTIFACTS,
        pb.FindArtifactsRequest(sha256=sorted({file.sha256 for file in header.files})),
        pb.FindArtifactsResponse,
        timeout_s=deadline - session.loop.time(),
    )
    return frozenset(found.present)


async def _send(
    session: Session,
    bundle: Bundle,
    header: pb.RegisterModelHeader,
    present: frozenset[str],
    deadline: float,
    on_progress: OnProgress,
) -> pb.RegisterModelResponse:
    requests = _requests(bundle, header, present, on_progress)
    async with contextlib.aclosing(requests):
        return await session.upload(REGISTER_MODEL, requests, pb.RegisterModelResponse, deadline)


async def _requests(
    bundle: Bundle, header: pb.RegisterModelHeader, present: frozenset[str], on_progress: OnProgress
) -> AsyncGenerator[pb.RegisterModelRequest, None]:
    missing = [file for file in header.files if file.sha256 not in present]
    total_bytes = sum(file.size_bytes for file in missing)
    sent_bytes = 0
    on_progress(sent_bytes, total_bytes)
    yield pb.RegisterModelRequest(header=header)
    for file in missing:
        async with contextlib.aclosing(pieces(bundle.files[file.path], CHUNK_BYTES)) as content:
            async for piece in content:
                yield pb.RegisterModelRequest(chunk=piece)
                sent_bytes += len(piece)
                on_progress(sent_bytes, total_bytes)


async def pieces(file: Path, size_bytes: int) -> AsyncGenerator[bytes, None]:
    """The file's content in order, read by threads.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        async with opened(file, "rb") as stream:
            while piece := await asyncio.to_thread(stream.read, size_bytes):
                yield piece
    except OSError as error:
        raise InvalidInput(f"cannot read {str(file)!r}: {error.strerror}", reason="NO_SUCH_FILE") from error


@contextlib.asynccontextmanager
async def opened(file: Path, mode: str) -> AsyncIterator[BinaryIO]:
    """Open a file in a thread, and close it there: either may wait for a disk or a network."""
    stream: Any = await asyncio.to_thread(file.open, mode)
    try:
        yield stream
    finally:
        await asyncio.shield(asyncio.to_thread(stream.close))
