"""Sends the files of registered versions, as fast as the client takes them."""

from collections.abc import AsyncGenerator

from serinus.core.artifact import ArtifactFile
from serinus.core.errors import DataLost, InvalidInput, NotFound
from serinus.core.version import ModelVersion
from serinus.registry.records import VersionRecord
from serinus.registry.sql.writing import selected
from serinus.transport.iterators import closing
from serinus.transport.registry.messages import artifact_file
from serinus.transport.registry.ports import Artifacts, Reads
from serinus.transport.registry.requests import named
from serinus.transport.wire_limits import check_text
from serinus_api.v1 import registry_pb2 as pb

CHUNK_BYTES = 1 << 20
_LONGEST_PATH_BYTES = 512


class Downloads:
    """Files of what `reads` knows, from `artifacts`. Whoever gets them checks their hash."""

    def __init__(self, reads: Reads, artifacts: Artifacts) -> None:
        self._reads = reads
        self._artifacts = artifacts

    async def download(self, asked: pb.DownloadArtifactRequest) -> AsyncGenerator[pb.DownloadArtifactResponse]:
        """One file of a version from an offset on: what it is, then its bytes.

        Raises:
            InvalidInput: the offset lies behind the end.
            NotFound: there is no such version, or no such file of it.
            DataLost: the store has not all of it any more.
        """
        check_text("path", asked.path, longest_bytes=_LONGEST_PATH_BYTES, field="path")
        model, selector = named(asked)
        record = selected(await self._reads.model(model), selector)
        file = _file_of(record, asked.path)
        if asked.offset > file.size_bytes:
            raise InvalidInput(
                f"offset: expected at most {file.size_bytes}, the size of the file, got {asked.offset}",
                reason="OFFSET_BEYOND_END",
                field="offset",
            )
        answer = pb.DownloadArtifactResponse(file=artifact_file(file))
        left = file.size_bytes - asked.offset
        if not left:
            yield answer
            return
        async with closing(self._artifacts.read(file.sha256, asked.offset)) as pieces:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    break
                for start in range(0, len(piece), CHUNK_BYTES):
                    answer.chunk = piece[start : start + CHUNK_BYTES]
                    yield answer
                    answer = pb.DownloadArtifactResponse()
        if left:
            raise _not_whole(record.identity, file)


def _file_of(record: VersionRecord, path: str) -> ArtifactFile:
    manifest = record.manifest
    file = manifest.file.get(path or manifest.main)
    if file is None:
        raise NotFound(
            f"{record.identity} has no file {path[:80]!r}: expected one of the {len(manifest.files)} that it lists",
            field="path",
        )
    return file


def _not_whole(identity: ModelVersion, file: ArtifactFile) -> DataLost:
    return DataLost(f"{identity}: file {file.path!r} has another size than the {file.size_bytes} bytes registered")
