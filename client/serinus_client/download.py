"""Fetches one file of a version: goes on where it stopped, and is there only once its hash is right."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serinus_api.v1 import registry_pb2 as pb
from serinus_client.errors import DataLost, NotFound, Overloaded, Unavailable
from serinus_client.session import Session
from serinus_client.upload import opened

DOWNLOAD_ARTIFACT = "/serinus.v1.RegistryService/DownloadArtifact"

_READ_BYTES = 8 << 20


class Download:
    """One file on its way. What has arrived lies beside its place, under a name that holds its hash.

    Args:
        session: Carries it.
        version: The version, and its files.
        path: Which file; "" for the ONNX file.
        to: Where it goes; a folder that is there, or the file's new name.
        on_progress: Called with bytes that are there and bytes in all.

    Raises:
        NotFound: the version has no such file.
    """

    def __init__(
        self, session: Session, version: pb.ModelVersion, path: str, to: Path, on_progress: Callable[[int, int], None]
    ) -> None:
        path = path or version.main
        found = next((file for file in version.files if file.path == path), None)
        if found is None:
            raise NotFound(f"{version.model}@{version.version} has no file {path!r}")
        self._session = session
        # An alias may move while the file is on its way; a version never does.
        self._request = pb.DownloadArtifactRequest(model=version.model, selector=version.version, path=path)
        self._file = found
        self._to = to
        self._name = path.rpartition("/")[2]
        self._on_progress = on_progress
        self._digest: Any = hashlib.sha256()
        self._got_bytes = 0

    async def run(self, *, timeout_s: float) -> Path:
        """Fetch it and return where it is.

        Raises:
            SerinusError: it did not arrive; another try goes on from there.
            DataLost: what arrived is something else; it is not kept.
            OSError: it cannot be written.
        """
        if await asyncio.to_thread(self._to.is_dir):
            self._to /= self._name
        part = self._to.with_name(f".{self._to.name}.{self._file.sha256[:16]}.part")
        deadline = self._session.loop.time() + timeout_s
        async with opened(part, "a+b") as stream:
            await self._recall(stream)
            failures = 0
            while self._got_bytes < self._file.size_bytes:
                before_bytes = self._got_bytes
                try:
                    await self._fetch(stream, timeout_s=deadline - self._session.loop.time())
                except (Overloaded, Unavailable) as error:
                    failures = failures + 1 if self._got_bytes == before_bytes else 1
                    await self._session.wait_before_retry(error, failures=failures)
            await asyncio.to_thread(_flush, stream)
        if self._digest.hexdigest() != self._file.sha256:
            await asyncio.to_thread(part.unlink, missing_ok=True)
            raise DataLost(
                f"{self._file.path!r}: expected sha256 {self._file.sha256}, got {self._digest.hexdigest()}: not kept"
            )
        await asyncio.to_thread(os.replace, part, self._to)
        return self._to

    async def _recall(self, stream: Any) -> None:
        """Count and hash what an earlier try has left."""
        await asyncio.to_thread(stream.seek, 0)
        while piece := await asyncio.to_thread(stream.read, _READ_BYTES):
            await asyncio.to_thread(self._digest.update, piece)
            self._got_bytes += len(piece)
        if self._got_bytes > self._file.size_bytes:
            await self._start_again(stream)
        self._on_progress(self._got_bytes, self._file.size_bytes)

    async def _start_again(self, stream: Any) -> None:
        await asyncio.to_thread(stream.truncate, 0)
        self._digest, self._got_bytes = hashlib.sha256(), 0

    async def _fetch(self, stream: Any, *, timeout_s: float) -> None:
        self._request.offset = self._got_bytes
        answers = self._session.download(
            DOWNLOAD_ARTIFACT, self._request, pb.DownloadArtifactResponse, timeout_s=timeout_s
        )
        async with contextlib.aclosing(answers):
            async for answer in answers:
                self._check_size(len(answer.chunk))
                # One thread hop for both: small chunks would otherwise cost more in hops than in bytes.
                await asyncio.to_thread(self._keep, stream, answer.chunk)
                self._on_progress(self._got_bytes, self._file.size_bytes)
        if self._got_bytes < self._file.size_bytes:
            raise Unavailable(f"the server ended the download after {self._got_bytes} of {self._file.size_bytes} bytes")

    def _check_size(self, more_bytes: int) -> None:
        if self._got_bytes + more_bytes > self._file.size_bytes:
            raise DataLost(f"{self._file.path!r}: expected {self._file.size_bytes} bytes, the server sends more")

    def _keep(self, stream: Any, chunk: bytes) -> None:
        stream.write(chunk)
        self._digest.update(chunk)
        self._got_bytes += len(chunk)


def _flush(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())
