"""What is removed from the artifact store, and when nothing is."""

import os
from pathlib import Path

from serinus.app.registry_store import collect_orphans
from serinus.registry.files.artifacts import Collected
from tests.registry.drafts import draft
from tests.support.disks import a_file, sha256
from tests.support.registrations import Workplace, workplace


async def store(place: Workplace, content: bytes, *, modified_s: float) -> None:
    await place.blobs.put(a_file(place.folder, content), sha256(content))
    path = await place.blobs.path(sha256(content))
    os.utime(path, (modified_s, modified_s))


async def test_old_files_that_no_version_needs_are_removed(tmp_path: Path):
    """A version's own files stay, whatever their age, and so do those of an upload that may still go on."""
    async with workplace(tmp_path) as place:
        await place.registry.register(draft("1.0.0", content="used"), actor="ann")
        await store(place, b"used", modified_s=100)
        await store(place, b"orphan", modified_s=100)
        await store(place, b"young", modified_s=4e9)
        collected = await collect_orphans(place.registry, place.artifacts, orphan_age_s=60)
        assert collected == Collected(1, len(b"orphan"))
        assert place.stored() == {b"used", b"young"}


async def test_a_registry_that_nobody_has_written_to_owns_no_files(tmp_path: Path):
    """A mistyped URL opens an empty database: the files of the right one must be there when it is mended."""
    async with workplace(tmp_path) as place:
        await store(place, b"of another registry", modified_s=100)
        assert await collect_orphans(place.registry, place.artifacts, orphan_age_s=60) == Collected(0, 0)
        assert place.stored() == {b"of another registry"}


async def test_a_store_that_another_registry_claimed_is_left_alone(tmp_path: Path):
    """Two registries on one bucket would else delete each other's files."""
    async with workplace(tmp_path) as place:
        await place.registry.register(draft("1.0.0", content="used"), actor="ann")
        await place.artifacts.claim("the hash of another registry's first write")
        await store(place, b"of another registry", modified_s=100)
        assert await collect_orphans(place.registry, place.artifacts, orphan_age_s=60) == Collected(0, 0)
        assert place.stored() == {b"of another registry"}
