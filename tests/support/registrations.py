"""What a registration needs around it: callers, an examiner that says what it is told, a registry in a folder."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import ArtifactFile
from serinus.core.signature import Signature
from serinus.registry.failpoints import Failpoint, pass_by
from serinus.registry.files.artifacts import ArtifactStore
from serinus.registry.files.disk import Disk
from serinus.registry.files.local_blobs import LocalBlobs
from serinus.registry.files.staging import StagingArea
from serinus.registry.records import Examination
from serinus.registry.registration import RegistrationLimits, Registrations
from serinus.registry.registry import Registry
from serinus.registry.rollouts import RolloutStore
from serinus.registry.sql.database import open_database
from tests.support.disks import files_below, sha256
from tests.support.records import NOON, PAIR

MODEL = b"an ONNX file, as far as a registry knows"
WEIGHTS = b"weights" * 1000
Folder = Mapping[str, bytes]
FOLDER: Folder = {"model.onnx": MODEL, "weights.bin": WEIGHTS}


@dataclasses.dataclass(frozen=True)
class Header:
    """What a caller says, most of it by default."""

    model: str = "m"
    version: str = "1.0.0"
    files: tuple[ArtifactFile, ...] = ()
    main: str = ""
    facts_yaml: str = "author: ann\n"
    goldens: tuple[str, ...] = ()
    is_forced: bool = False
    aliases: tuple[str, ...] = ()
    expected_revision: int | None = None
    actor: str = "ann"


def declared(folder: Folder) -> tuple[ArtifactFile, ...]:
    """The files of `folder` as a caller declares them."""
    return tuple(ArtifactFile(path, sha256(content), len(content)) for path, content in folder.items())


async def sent(*contents: bytes, piece: int = 1000) -> AsyncIterator[bytes]:
    """`contents` end to end, in pieces that know nothing of files."""
    whole = b"".join(contents)
    for start in range(0, len(whole), piece):
        yield whole[start : start + piece]


@dataclasses.dataclass
class FakeExaminer:
    """Says what it is told, and remembers what it was shown.

    Attributes:
        signature: Of everything.
        during: What happens while it looks.
        seen: The folders that it was shown.
    """

    signature: Signature = PAIR
    during: Callable[[], Awaitable[None]] | None = None
    seen: list[Folder] = dataclasses.field(default_factory=list)

    async def __call__(self, folder: Path, main: str, facts: VersionFacts, goldens: Sequence[str], /) -> Examination:
        assert (folder / main).is_file()
        assert isinstance(facts, VersionFacts)
        assert all((folder / golden).is_file() for golden in goldens)
        self.seen.append(await asyncio.to_thread(files_below, folder))
        if self.during is not None:
            await self.during()
        return Examination(self.signature)


@dataclasses.dataclass(frozen=True)
class Workplace:
    """Everything that a registration touches, below one folder."""

    folder: Path
    registry: Registry
    rollouts: RolloutStore
    blobs: LocalBlobs
    artifacts: ArtifactStore
    examiner: FakeExaminer
    registrations: Registrations

    def uploads(self) -> list[str]:
        """What lies in the folder of uploads, but for the lock of this process."""
        return [path for path in files_below(self.folder / "uploads") if not path.endswith(".lock")]

    def stored(self) -> set[bytes]:
        """All contents that are kept."""
        return {
            content for path, content in files_below(self.folder / "artifacts").items() if path.startswith("sha256/")
        }


@contextlib.asynccontextmanager
async def workplace(
    folder: Path,
    *,
    limits: RegistrationLimits | None = None,
    reserved: Sequence[str] = (),
    reach: Callable[[Failpoint], None] = pass_by,
    at_once: int = 4,
    disk: Disk | None = None,
) -> AsyncIterator[Workplace]:
    """A registry and everything around it in `folder`, as they were left there."""
    blobs = LocalBlobs(folder / "artifacts", reach=reach, disk=disk)
    artifacts = ArtifactStore(blobs)
    examiner = FakeExaminer()
    async with (
        open_database(f"sqlite:///{folder}/registry.db") as database,
        StagingArea(folder / "uploads", at_once=at_once) as area,
    ):
        registry = Registry(database, now=_noon, reach=reach)
        registrations = Registrations(
            registry,
            artifacts,
            area,
            examiner,
            is_reserved=lambda name: name in reserved,
            limits=limits or RegistrationLimits(),
            reach=reach,
        )
        rollouts = RolloutStore(database, now=_noon, reach=reach)
        yield Workplace(folder, registry, rollouts, blobs, artifacts, examiner, registrations)


def _noon() -> dt.datetime:
    return NOON
