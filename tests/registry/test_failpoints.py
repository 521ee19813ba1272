"""A process that is killed at any place of a write leaves it fully in or fully out, and never loses an answered one."""

import asyncio
import dataclasses
import shutil
import time
from pathlib import Path

import pytest

from serinus.registry.failpoints import Failpoint
from serinus.registry.files.artifacts import Collected
from tests.support.disks import sha256
from tests.support.killed_writes import ADDED, ADDED_HEADER, do, ends_of, prepare
from tests.support.registrations import FOLDER, Workplace, sent, workplace

WRITES_FILES = (Failpoint.BLOB_SYNCED, Failpoint.BLOB_RENAMED, Failpoint.FOLDER_SYNCED)
IN_EACH_WRITE = (Failpoint.TRANSACTION_BEGUN, Failpoint.ROWS_WRITTEN, Failpoint.COMMITTED)
SECOND_MODEL = b"a second model"


@dataclasses.dataclass(frozen=True)
class Case:
    """A write, and where its process dies: at the `occurrence`-th time that it passes `point`."""

    operation: str
    point: Failpoint
    occurrence: int = 1

    @property
    def passes(self) -> bool:
        """Whether the write comes by there at all."""
        return self.operation == "register" or self.point in IN_EACH_WRITE

    @property
    def is_in(self) -> bool:
        """Whether the write has happened."""
        return not self.passes or self.point is Failpoint.COMMITTED

    @property
    def name(self) -> str:
        return f"{self.operation}-{self.point.name}-{self.occurrence}"


CASES = [
    *(Case(operation, point) for operation in ("register", "alias") for point in Failpoint),
    *(Case("register", point, 2) for point in WRITES_FILES),
]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """How each case ended, and the folder that holds what each left behind."""
    root = tmp_path_factory.mktemp("killed")
    asyncio.run(prepare(root / "before"))
    order = []
    for case in CASES:
        folder = shutil.copytree(root / "before", root / case.name)
        order.append(
            {
                "folder": str(folder),
                "operation": case.operation,
                "point": case.point.name,
                "occurrence": case.occurrence,
            }
        )
    return root, dict(zip((case.name for case in CASES), ends_of(order), strict=True))


def contents_of(*folders: dict[str, bytes]) -> set[bytes]:
    return {content for folder in folders for content in folder.values()}


async def assert_versions_are_whole(work: Workplace) -> None:
    for record in (await work.registry.model("m")).versions:
        paths = await work.artifacts.paths(record.manifest)
        assert {path: sha256(file.read_bytes()) for path, file in paths.items()} == {
            file.path: file.sha256 for file in record.manifest.files
        }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_killed_write_is_in_or_out(ends: tuple[Path, dict[str, str]], case: Case) -> None:
    """After a restart: what was there is, the write is whole or absent, nothing is in its way when it is made again."""
    root, how = ends
    assert how[case.name] == ("killed" if case.passes else "done")
    async with workplace(root / case.name) as work:
        assert work.uploads() == []
        model = await work.registry.model("m")
        versions = {str(record.identity.version) for record in model.versions}
        aliases = {alias: str(named.version) for alias, named in model.aliases.items()}
        if case.operation == "register":
            assert versions == {"1.0.0", "1.0.1"} | ({"1.0.2"} if case.is_in else set())
            assert aliases == {"stable": "1.0.0"} | ({"candidate": "1.0.2"} if case.is_in else {})
        else:
            assert versions == {"1.0.0", "1.0.1"}
            assert aliases == {"stable": "1.0.1" if case.is_in else "1.0.0"}
        assert await work.registry.current_revision() == (3 if case.is_in else 2)
        verification = await work.registry.verify_audit()
        assert (verification.problem, verification.entries) == ("", 3 if case.is_in else 2)
        await assert_versions_are_whole(work)
        await assert_orphans_go(work, case)
        await assert_made_again(work, case)


async def assert_orphans_go(work: Workplace, case: Case) -> None:
    kept = contents_of(dict(FOLDER)) | {SECOND_MODEL}
    if case.operation == "register" and case.is_in:
        kept |= contents_of(ADDED)
    orphans = work.stored() - kept
    collected = await work.artifacts.collect(
        await work.registry.used_hashes(), older_than_s=0.0, now=time.time() + 3600
    )
    assert collected == Collected(len(orphans), sum(map(len, orphans)))
    assert work.stored() == kept
    assert list((work.folder / "artifacts" / "tmp").iterdir()) == []
    await assert_versions_are_whole(work)


async def assert_made_again(work: Workplace, case: Case) -> None:
    before = await work.registry.current_revision()
    if case.operation == "register":
        new = [] if case.is_in else [ADDED["model.onnx"], ADDED["labels.txt"]]
        done = await work.registrations.register(ADDED_HEADER, sent(*new))
        assert done.is_new is not case.is_in
    else:
        await do(work, case.operation)
    assert await work.registry.current_revision() == 3
    assert before == (3 if case.is_in else 2)
    await assert_versions_are_whole(work)


def test_every_failpoint_is_a_case() -> None:
    """A new one is tried for each write without anybody's doing."""
    for operation in ("register", "alias"):
        assert {case.point for case in CASES if case.operation == operation} == set(Failpoint)
