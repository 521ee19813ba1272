"""What keeps the bytes of models: content by its SHA-256, wherever it lies."""

import dataclasses
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Protocol


@dataclasses.dataclass(frozen=True, slots=True)
class StoredBlob:
    """One content that is kept.

    Attributes:
        sha256: Of the content.
        modified_s: When it was last put or asked for, seconds since 1970.
        size_bytes: Of the content.
    """

    sha256: str
    modified_s: float
    size_bytes: int


class Blobs(Protocol):
    """Content by its SHA-256. What has a name here is whole; every method may be called from many tasks at once.

    All raise StoreUnavailable where the store cannot be reached, and no message names a path, a URL or a credential.
    """

    async def put(self, file: Path, sha256: str) -> None:
        """Keep the content of `file`; returns when it survives a power loss. Counts as put now if it was there before.

        Raises:
            StoreFull: there is no room; nothing is kept.
            DataLost: the file does not have that hash.
        """
        ...

    async def has(self, sha256s: Collection[str]) -> frozenset[str]:
        """Those of `sha256s` that are kept."""
        ...

    async def path(self, sha256: str) -> Path:
        """A local file with the content, to be read only; whoever loads it checks the hash of the bytes it reads.

        Raises:
            DataLost: it is not kept, or what is kept has another hash.
        """
        ...

    def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """The content from byte `offset` on, in pieces.

        Raises:
            DataLost: it is not kept.
        """
        ...

    async def verify(self, sha256: str) -> bool:
        """Whether the content is kept and has that hash; one that has another is removed, so that it is asked for."""
        ...

    async def claim(self, owner: str) -> str:
        """Whose the content is: `owner`, if nobody claimed it before. Only its owner may delete what nobody uses."""
        ...

    async def delete(self, sha256: str, *, older_than: float) -> bool:
        """Remove the content if it was last put or asked for before `older_than`; whether it was."""
        ...

    def list(self) -> AsyncIterator[StoredBlob]:
        """All that is kept, in any order."""
        ...

    async def sweep(self, used: frozenset[str], /, *, older_than: float) -> None:
        """Remove what writes that were cut off before `older_than` left behind, and copies of what is not used."""
        ...
