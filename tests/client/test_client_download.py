"""Files from the registry: whole and right, or not there."""

import hashlib
import os

import pytest

from serinus.core.errors import Draining
from serinus_client import AsyncClient, DataLost, NotFound, Unavailable
from tests.client.fake_registry import FakeRegistry

CONTENT = os.urandom(300_000)
PART = f".model.onnx.{hashlib.sha256(CONTENT).hexdigest()[:16]}.part"


@pytest.fixture
async def fake():
    async with FakeRegistry() as running:
        running.add("m", "1.0.0", {"model.onnx": CONTENT, "deep/labels.txt": b"", "w.bin": b"weights"})
        yield running


@pytest.fixture
async def client(fake):
    async def sleep(_wait_s):
        """No time passes."""

    async with AsyncClient(fake.target, sleep=sleep) as opened:
        yield opened


def offsets(fake) -> list[int]:
    return [request.offset for request in fake.asked if type(request).__name__ == "DownloadArtifactRequest"]


async def test_a_file_arrives_under_its_own_name_or_another(client, tmp_path):
    """Empty ones too; and the progress is told."""
    seen = []
    done = await client.registry.download("m", "", "", tmp_path, on_progress=lambda *now: seen.append(now))
    assert (done, done.read_bytes()) == (tmp_path / "model.onnx", CONTENT)
    assert (seen[0], seen[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert (await client.registry.download("m", "1", "w.bin", tmp_path / "x")).read_bytes() == b"weights"
    assert (await client.registry.download("m", "latest", "deep/labels.txt", tmp_path)).read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.txt", "model.onnx", "x"]


async def test_a_lost_connection_is_made_up_for(client, fake, tmp_path):
    """The file goes on where it was, within one call."""
    fake.stop_download_after = 2
    assert (await client.registry.download("m", "", "", tmp_path)).read_bytes() == CONTENT
    assert offsets(fake) == [0, 2 << 16]


async def test_the_next_call_goes_on_where_one_was_given_up(client, fake, tmp_path):
    """What has arrived lies hidden beside the place of the file."""
    fake.stop_download_after = 2
    fake.faults = {"DownloadArtifact": [None, *[Draining("going")] * 4]}
    with pytest.raises(Unavailable):
        await client.registry.download("m", "", "", tmp_path)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [(PART, 2 << 16)]
    assert (await client.registry.download("m", "", "", tmp_path)).read_bytes() == CONTENT
    assert offsets(fake)[-1] == 2 << 16
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


async def test_what_is_not_what_was_registered_is_not_kept(client, fake, tmp_path):
    """Wrong bytes, and more of them than there should be."""
    (tmp_path / "model.onnx").write_bytes(b"the one before")
    fake.corrupt = lambda chunk: bytes(len(chunk))
    with pytest.raises(DataLost, match="not kept"):
        await client.registry.download("m", "", "", tmp_path)
    fake.corrupt = lambda chunk: chunk + b"more"
    with pytest.raises(DataLost, match="sends more"):
        await client.registry.download("m", "", "w.bin", tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == b"the one before"
    assert not (tmp_path / PART).exists()


async def test_a_rest_that_is_too_long_is_begun_again(client, tmp_path):
    """Nothing that an earlier call wrote can be longer."""
    (tmp_path / PART).write_bytes(CONTENT + b"x")
    assert (await client.registry.download("m", "", "", tmp_path)).read_bytes() == CONTENT


async def test_a_file_that_the_version_does_not_have(client, tmp_path):
    """Is said without asking for it."""
    with pytest.raises(NotFound, match=r"m@1\.0\.0 has no file 'x'"):
        await client.registry.download("m", "", "x", tmp_path)
