"""How versions come into the registry, and everything that keeps them out without leaving a trace."""

import asyncio
import dataclasses
import errno
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from obstore.store import MemoryStore, S3Store

from serinus.config.version_facts import VersionFacts
from serinus.core.artifact import ArtifactFile
from serinus.core.dtypes import DType
from serinus.core.errors import (
    AlreadyExists,
    Conflict,
    DataLost,
    DeadlinePassed,
    InvalidInput,
    ModelRejected,
    NotFound,
    Overloaded,
    Refused,
    ServerError,
    StoreFull,
    StoreUnavailable,
)
from serinus.core.signature import Signature, TensorSpec
from serinus.core.version import Version
from serinus.registry.failpoints import Failpoint
from serinus.registry.files.artifacts import ArtifactStore
from serinus.registry.files.bundle import BundleLimits
from serinus.registry.files.local_blobs import LocalBlobs
from serinus.registry.files.receiving import Pace
from serinus.registry.files.remote_blobs import RemoteBlobs
from serinus.registry.records import ChangeLevel, Draft, ModelRecord, Registered
from serinus.registry.registration import RegistrationLimits, Registrations, Versions
from tests.support.disks import FullDisk, LossyDisk, sha256
from tests.support.records import PAIR
from tests.support.registrations import FOLDER, MODEL, WEIGHTS, Header, Workplace, declared, sent, workplace

HEADER = Header(files=declared(FOLDER))
OTHER = Signature((TensorSpec("z", DType.INT64, ("n", 4), 0),), PAIR.outputs)
"""What breaks everybody who calls PAIR."""


async def never() -> AsyncIterator[bytes]:
    """Chunks that nobody may ask for."""
    raise AssertionError("the upload was read")
    yield b""


async def register(work: Workplace, header: Header = HEADER, *contents: bytes) -> Registered:
    return await work.registrations.register(header, sent(*(contents or (MODEL, WEIGHTS))))


def links_below(uploads: Path) -> list[int]:
    return [path.stat().st_nlink for path in uploads.glob("*/*/*")]


async def assert_no_trace(work: Workplace) -> None:
    with pytest.raises(NotFound):
        await work.registry.model("m")
    assert (work.uploads(), work.stored()) == ([], set())


async def test_a_version_is_examined_kept_and_registered(tmp_path: Path) -> None:
    """In an own folder with its own files alone, of which nothing stays but the contents."""
    async with workplace(tmp_path) as work:
        done = await register(work)
        assert (done.is_new, done.revision, str(done.record.identity)) == (True, 1, "m@1.0.0")
        assert (done.record.change, done.record.facts.author) == (ChangeLevel.FIRST, "ann")
        assert work.examiner.seen == [FOLDER]
        assert (work.uploads(), work.stored()) == ([], {MODEL, WEIGHTS})
        paths = await work.artifacts.paths(done.record.manifest)
        assert {path: file.read_bytes() for path, file in paths.items()} == FOLDER
        model = await work.registry.model("m")
        assert (model.versions, dict(model.aliases)) == ((done.record,), {"stable": done.record.identity})


async def test_the_same_again_succeeds_without_an_upload(tmp_path: Path) -> None:
    """Also where the answer to the first call was lost, and the revision that it expected is gone."""
    async with workplace(tmp_path) as work:
        first = await register(work, dataclasses.replace(HEADER, expected_revision=0))
        again = await work.registrations.register(dataclasses.replace(HEADER, expected_revision=0), never())
        assert again == Registered(first.record, is_new=False, revision=1)
        assert len(work.examiner.seen) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"files": declared({"model.onnx": MODEL})},
        {"files": declared({**FOLDER, "weights.bin": b"others"})},
        {"facts_yaml": "author: bob\n"},
    ],
)
async def test_the_same_version_with_other_content_is_refused_before_the_upload(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    """What is registered stays as it is."""
    async with workplace(tmp_path) as work:
        first = await register(work)
        with pytest.raises(AlreadyExists):
            await work.registrations.register(dataclasses.replace(HEADER, **changed), never())
        assert (await work.registry.model("m")).versions == (first.record,)
        assert work.stored() == {MODEL, WEIGHTS}


async def test_files_that_the_store_has_are_not_sent_and_are_copied(tmp_path: Path) -> None:
    """Never linked: whoever writes to what is examined must not reach what is kept."""
    async with workplace(tmp_path) as work:
        await register(work)
        links: list[int] = []

        async def look() -> None:
            links.extend(await asyncio.to_thread(links_below, tmp_path / "uploads"))

        work.examiner.during = look
        folder = {"weights.bin": WEIGHTS, "model.onnx": b"another"}
        done = await register(work, Header(version="1.0.1", files=declared(folder)), b"another")
        assert done.is_new
        assert work.examiner.seen[-1] == folder
        assert links == [1, 1]
        assert work.stored() == {MODEL, WEIGHTS, b"another"}


async def test_a_stored_file_that_is_damaged_is_not_registered_and_sent_the_next_time(tmp_path: Path) -> None:
    """It is the store's fault, and said so."""
    async with workplace(tmp_path) as work:
        done = await register(work)
        path = (await work.artifacts.paths(done.record.manifest))["weights.bin"]
        path.chmod(0o600)
        path.write_bytes(b"WEIGHTS" * 1000)
        with pytest.raises(DataLost):
            await register(work, dataclasses.replace(HEADER, version="1.0.1"), b"")
        assert len((await work.registry.model("m")).versions) == 1
        assert await work.artifacts.has([sha256(MODEL), sha256(WEIGHTS)]) == {sha256(MODEL)}
        await register(work, dataclasses.replace(HEADER, version="1.0.1"), WEIGHTS)
        assert work.stored() == {MODEL, WEIGHTS}


@pytest.mark.parametrize("fault", ["gone", "damaged"])
async def test_registering_again_brings_back_files_that_are_not_there(tmp_path: Path, fault: str) -> None:
    """The version itself stays as it is."""
    async with workplace(tmp_path) as work:
        first = await register(work)
        path = await work.blobs.path(sha256(WEIGHTS))
        path.unlink()
        if fault == "damaged":
            path.write_bytes(b"damaged")
        again = await register(work, HEADER, WEIGHTS)
        assert again == Registered(first.record, is_new=False, revision=1)
        assert work.stored() == {MODEL, WEIGHTS}


@pytest.mark.parametrize(
    ("changed", "error", "reason"),
    [
        ({"model": "../m"}, InvalidInput, "INVALID_NAME"),
        ({"model": "reserved"}, Refused, "NAME_TAKEN"),
        ({"version": "1.0"}, InvalidInput, "INVALID_VERSION"),
        ({"facts_yaml": "autor: ann"}, InvalidInput, "INVALID_FACTS"),
        ({"facts_yaml": "{"}, InvalidInput, "INVALID_FACTS"),
        ({"facts_yaml": "!!python/object/apply:os.system [ls]"}, InvalidInput, "INVALID_FACTS"),
        ({"files": ()}, InvalidInput, "TOO_MANY_FILES"),
        ({"files": declared({"m.onnx": b"", "../x": b""})}, InvalidInput, "INVALID_PATH"),
        ({"files": declared({"m.onnx": b"", "m.pkl": b""})}, ModelRejected, "UNSAFE_FORMAT"),
        ({"main": "weights.bin"}, InvalidInput, "INVALID_MAIN"),
        ({"goldens": ("golden.npz",)}, InvalidInput, "INVALID_GOLDEN"),
        ({"aliases": ("latest",)}, InvalidInput, "INVALID_ALIAS"),
        ({"actor": "a\nb"}, InvalidInput, "INVALID_ACTOR"),
        ({"expected_revision": 7}, Conflict, "REVISION_MISMATCH"),
    ],
)
async def test_what_cannot_succeed_is_refused_before_the_upload(
    tmp_path: Path, changed: dict[str, object], error: type[ServerError], reason: str
) -> None:
    """In a sentence, with a word for programs."""
    async with workplace(tmp_path, reserved=["reserved"]) as work:
        with pytest.raises(error) as refused:
            await work.registrations.register(dataclasses.replace(HEADER, **changed), never())
        assert refused.value.reason == reason
        await assert_no_trace(work)


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ((), "WRONG_SIZE"),
        ((MODEL,), "WRONG_SIZE"),
        ((MODEL, WEIGHTS[:-1]), "WRONG_SIZE"),
        ((MODEL, WEIGHTS, b"!"), "WRONG_SIZE"),
        ((WEIGHTS, MODEL), "HASH_MISMATCH"),
        ((MODEL, WEIGHTS[::-1]), "HASH_MISMATCH"),
    ],
)
async def test_other_bytes_than_declared_leave_no_trace(tmp_path: Path, contents: Sequence[bytes], reason: str) -> None:
    """Too few, too many, in another order, or others."""
    async with workplace(tmp_path) as work:
        with pytest.raises(InvalidInput) as refused:
            await work.registrations.register(HEADER, sent(*contents))
        assert refused.value.reason == reason
        assert work.examiner.seen == []
        await assert_no_trace(work)


async def test_code_under_a_harmless_name_is_not_even_examined(tmp_path: Path) -> None:
    """Its bytes betray it."""
    pickle = b"\x80\x04\x95" + bytes(100)
    async with workplace(tmp_path) as work:
        header = Header(files=declared({"model.onnx": MODEL, "weights.bin": pickle}))
        with pytest.raises(ModelRejected) as refused:
            await register(work, header, MODEL, pickle)
        assert refused.value.reason == "UNSAFE_FORMAT"
        assert work.examiner.seen == []
        await assert_no_trace(work)


async def stalls(is_read: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    yield MODEL
    if is_read is not None:
        is_read.set()
    await asyncio.Event().wait()


async def drips() -> AsyncIterator[bytes]:
    yield MODEL
    while True:
        await asyncio.sleep(0.01)
        yield b"w"


async def says_nothing() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.01)
        yield b""


async def breaks() -> AsyncIterator[bytes]:
    yield MODEL
    raise InvalidInput("no chunk", reason="UNEXPECTED_MESSAGE")


@pytest.mark.parametrize(
    ("chunks", "pace", "reason"),
    [
        (stalls, Pace(stall_s=0.05), "UPLOAD_STALLED"),
        (says_nothing, Pace(stall_s=0.05), "UPLOAD_STALLED"),
        (drips, Pace(upload_s=0.1), "UPLOAD_TOO_SLOW"),
        (breaks, Pace(), "UNEXPECTED_MESSAGE"),
    ],
)
async def test_an_upload_that_does_not_come_is_given_up(
    tmp_path: Path, chunks: Callable[[], AsyncIterator[bytes]], pace: Pace, reason: str
) -> None:
    """And its folder goes."""
    async with workplace(tmp_path, limits=RegistrationLimits(pace=pace)) as work:
        with pytest.raises((DeadlinePassed, InvalidInput)) as refused:
            await work.registrations.register(HEADER, chunks())
        assert refused.value.reason == reason
        await assert_no_trace(work)


async def test_a_version_that_its_examination_rejects_leaves_no_trace(tmp_path: Path) -> None:
    """For whatever reason the examiner has."""

    async def reject() -> None:
        raise ModelRejected("it is cyclic")

    async with workplace(tmp_path) as work:
        work.examiner.during = reject
        with pytest.raises(ModelRejected):
            await register(work)
        await assert_no_trace(work)


async def test_an_examination_without_end_is_given_up(tmp_path: Path) -> None:
    """Behind the examiner's own limit there is another one."""

    async def hang() -> None:
        await asyncio.Event().wait()

    async with workplace(tmp_path, limits=RegistrationLimits(examine_s=0.05)) as work:
        work.examiner.during = hang
        with pytest.raises(DeadlinePassed):
            await register(work)
        await assert_no_trace(work)


async def test_a_version_too_small_for_its_change_is_refused_unless_forced(tmp_path: Path) -> None:
    """Nothing of it is kept; who insists gets it, and it is written down."""
    async with workplace(tmp_path) as work:
        await register(work)
        work.examiner.signature = OTHER
        header = Header(version="1.0.1", files=declared({"model.onnx": b"breaking"}))
        with pytest.raises(Refused) as refused:
            await register(work, header, b"breaking")
        assert refused.value.reason == "VERSION_TOO_SMALL"
        assert work.stored() == {MODEL, WEIGHTS}
        done = await register(work, dataclasses.replace(header, is_forced=True), b"breaking")
        assert (done.record.change, done.record.is_forced) == (ChangeLevel.MAJOR, True)
        fits = await register(work, dataclasses.replace(header, version="2.0.0", is_forced=True), b"")
        assert not fits.record.is_forced


@dataclasses.dataclass
class Interrupted:
    """A registry in which something happens right before or right after a version is registered."""

    inner: Versions
    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None
    tries: int = 0

    async def model(self, name: str) -> ModelRecord:
        return await self.inner.model(name)

    async def register(
        self,
        draft: Draft,
        *,
        aliases: Sequence[str],
        actor: str,
        expected_revision: int | None,
        based_on: int | None,
    ) -> Registered:
        self.tries += 1
        await self._happens("before")
        done = await self.inner.register(
            draft, aliases=aliases, actor=actor, expected_revision=expected_revision, based_on=based_on
        )
        await self._happens("after")
        return done

    async def _happens(self, when: str) -> None:
        what = getattr(self, when)
        setattr(self, when, None)
        if what is not None:
            await what()


def on(registry: Versions, work: Workplace, area_of: Registrations) -> Registrations:
    """The same registrations on another registry."""
    return Registrations(registry, work.artifacts, area_of._area, work.examiner, is_reserved=lambda _: False)


async def test_a_version_that_comes_in_between_is_compared_with_too(tmp_path: Path) -> None:
    """What fitted the versions that were there need not fit the one that came."""
    async with workplace(tmp_path) as work:
        await register(work)
        between = Header(version="1.0.1", files=declared({"model.onnx": b"between"}))
        registry = Interrupted(work.registry, before=lambda: register(work, between, b"between"))
        header = Header(version="1.1.0", files=declared({"model.onnx": b"mine"}))
        done = await on(registry, work, work.registrations).register(header, sent(b"mine"))
        assert (registry.tries, done.revision) == (2, 3)

        async def breaking() -> None:
            work.examiner.signature = OTHER
            header = Header(version="1.2.0", files=declared({"model.onnx": b"breaking"}), is_forced=True)
            await register(work, header, b"breaking")

        registry = Interrupted(work.registry, before=breaking)
        header = Header(version="1.2.1", files=declared({"model.onnx": b"too late"}))
        with pytest.raises(Refused) as refused:
            await on(registry, work, work.registrations).register(header, sent(b"too late"))
        assert refused.value.reason == "VERSION_TOO_SMALL"


async def test_who_expects_a_revision_hears_that_it_is_gone(tmp_path: Path) -> None:
    """Nobody decides anew for such a caller."""
    async with workplace(tmp_path) as work:
        await register(work)
        between = Header(version="1.0.1", files=declared({"model.onnx": b"between"}))
        registry = Interrupted(work.registry, before=lambda: register(work, between, b"between"))
        header = Header(version="1.1.0", files=declared({"model.onnx": b"mine"}), expected_revision=1)
        with pytest.raises(Conflict) as lost:
            await on(registry, work, work.registrations).register(header, sent(b"mine"))
        assert (lost.value.current_revision, registry.tries) == (2, 1)


async def test_a_content_that_went_during_the_commit_is_put_again(tmp_path: Path) -> None:
    """The files are at hand until everything is done."""
    async with workplace(tmp_path) as work:
        registry = Interrupted(work.registry, after=lambda: work.blobs.delete(sha256(WEIGHTS), older_than=float("inf")))
        await on(registry, work, work.registrations).register(HEADER, sent(MODEL, WEIGHTS))
        assert work.stored() == {MODEL, WEIGHTS}


async def test_a_full_disk_refuses_the_version_and_takes_it_later(tmp_path: Path) -> None:
    """Nothing is registered that is not kept."""
    async with workplace(tmp_path) as work:
        disk = FullDisk(errno.ENOSPC)
        full = ArtifactStore(LocalBlobs(tmp_path / "artifacts", disk=disk))
        area = work.registrations._area
        registrations = Registrations(work.registry, full, area, work.examiner, is_reserved=lambda _: False)
        with pytest.raises(StoreFull):
            await registrations.register(HEADER, sent(MODEL, WEIGHTS))
        await assert_no_trace(work)
        disk.number = 0
        assert (await registrations.register(HEADER, sent(MODEL, WEIGHTS))).is_new


async def test_the_same_version_many_times_at_once_is_registered_once(tmp_path: Path) -> None:
    """And everybody hears that it is there; whoever was told too late what is stored asks again, as clients do."""

    async def as_a_client(work: Workplace) -> Registered:
        while True:
            present = await work.artifacts.has([sha256(MODEL), sha256(WEIGHTS)])
            lacking = [content for content in (MODEL, WEIGHTS) if sha256(content) not in present]
            try:
                return await work.registrations.register(HEADER, sent(*lacking))
            except InvalidInput as error:
                if error.reason not in {"WRONG_SIZE", "HASH_MISMATCH"}:
                    raise

    async with workplace(tmp_path, at_once=10) as work:
        done = await asyncio.gather(*(as_a_client(work) for _ in range(10)))
        assert sorted(each.is_new for each in done) == [False] * 9 + [True]
        assert len({each.record.identity for each in done}) == 1
        assert (work.uploads(), work.stored()) == ([], {MODEL, WEIGHTS})


async def test_many_versions_of_one_model_at_once_are_all_registered(tmp_path: Path) -> None:
    """Whoever comes second compares again."""
    async with workplace(tmp_path, at_once=12) as work:
        headers = [Header(version=f"1.0.{i}", files=declared({"model.onnx": b"%d" % i})) for i in range(12)]
        done = await asyncio.gather(*(register(work, header, b"%d" % i) for i, header in enumerate(headers)))
        assert sorted(each.record.identity.number for each in done) == list(range(1, 13))
        assert len((await work.registry.model("m")).versions) == 12


async def test_one_upload_too_many_is_refused(tmp_path: Path) -> None:
    """Each holds a part of the disk."""
    async with workplace(tmp_path, at_once=1) as work:
        is_read = asyncio.Event()
        first = asyncio.create_task(work.registrations.register(HEADER, stalls(is_read)))
        await is_read.wait()
        with pytest.raises(Overloaded):
            await register(work, Header(model="other", files=declared(FOLDER)))
        first.cancel()
        await asyncio.wait({first})
        await assert_no_trace(work)


async def test_a_cancelled_registration_is_in_or_out(tmp_path: Path) -> None:
    """Wherever it is cancelled: a version that is there has its files, and no upload is left."""
    large = os.urandom(3 << 20)
    folder = {"model.onnx": MODEL, "weights.bin": large}
    registered = 0
    async with workplace(tmp_path) as work:
        for moment in range(30):
            header = Header(version=f"1.0.{moment}", files=declared({**folder, "nonce": b"%d" % moment}))
            absent = b"" if sha256(large) in await work.artifacts.has([sha256(large)]) else large
            model = b"" if sha256(MODEL) in await work.artifacts.has([sha256(MODEL)]) else MODEL
            chunks = sent(model, absent, b"%d" % moment, piece=1 << 18)
            task = asyncio.create_task(work.registrations.register(header, chunks))
            await asyncio.sleep(moment * 0.002)
            task.cancel()
            await asyncio.wait({task})
            assert work.uploads() == []
            snapshot = await work.registry.snapshot()
            there = {str(r.identity.version): r for r in snapshot.models["m"].versions} if snapshot.models else {}
            if not task.cancelled():
                assert header.version in there
            if (record := there.get(header.version)) is not None:
                registered += 1
                assert await work.artifacts.has([f.sha256 for f in record.manifest.files]) == {
                    f.sha256 for f in record.manifest.files
                }
        assert (await work.registry.verify_audit()).problem == ""
    assert registered >= 1


async def test_files_made_on_the_server_take_the_same_way(tmp_path: Path) -> None:
    """Examined, compared, kept and registered, with the report of who made them."""
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "model.onnx").write_bytes(MODEL)
    (made / "deep" / "weights.bin").write_bytes(WEIGHTS)
    (made / "link").symlink_to("/etc/passwd")
    async with workplace(tmp_path) as work:
        facts = VersionFacts(quantized_from="m@1.0.0")
        done = await work.registrations.register_files(
            "m", Version(1, 0, 1), made, facts, actor="quantizer", report={"winner": "dynamic"}
        )
        assert work.examiner.seen == [{"model.onnx": MODEL, "deep/weights.bin": WEIGHTS}]
        assert (done.record.facts, done.record.report, done.record.created_by) == (
            facts,
            {"winner": "dynamic"},
            "quantizer",
        )
        assert (work.uploads(), work.stored()) == ([], {MODEL, WEIGHTS})
        assert (made / "model.onnx").read_bytes() == MODEL


async def test_a_bundle_over_the_limit_is_refused_before_the_upload(tmp_path: Path) -> None:
    """By what is declared; more than is declared is refused when it comes."""
    limits = RegistrationLimits(bundle=BundleLimits(size_bytes=len(MODEL)))
    async with workplace(tmp_path, limits=limits) as work:
        with pytest.raises(InvalidInput) as refused:
            await work.registrations.register(HEADER, never())
        assert refused.value.reason == "BUNDLE_TOO_LARGE"
        small = (ArtifactFile("model.onnx", sha256(MODEL), len(MODEL)),)
        with pytest.raises(InvalidInput):
            await register(work, Header(files=small), MODEL, b"and more")
        await assert_no_trace(work)


async def test_a_power_loss_after_the_commit_finds_every_file(tmp_path: Path) -> None:
    """Bytes and names are on the disk before the transaction begins."""
    disk = LossyDisk()
    durable: list[set[bytes]] = []

    def reach(point: Failpoint) -> None:
        if point is Failpoint.TRANSACTION_BEGUN:
            durable.append({content for path, content in disk.durable.items() if "sha256" in path.parts})

    async with workplace(tmp_path, disk=disk, reach=reach) as work:
        await register(work)
    assert durable == [{MODEL, WEIGHTS}]


async def test_a_bucket_that_is_gone_refuses_the_version_and_takes_it_later(tmp_path: Path) -> None:
    """Before the upload, and by name."""
    async with workplace(tmp_path) as work:

        def on_bucket(store: MemoryStore | S3Store) -> Registrations:
            artifacts = ArtifactStore(RemoteBlobs(store, LocalBlobs(tmp_path / "cache"), fresh_s=60.0))
            area = work.registrations._area
            return Registrations(work.registry, artifacts, area, work.examiner, is_reserved=lambda _: False)

        gone = S3Store(
            "models",
            endpoint="http://127.0.0.1:9",
            region="us-east-1",
            skip_signature=True,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        with pytest.raises(StoreUnavailable):
            await on_bucket(gone).register(HEADER, never())
        await assert_no_trace(work)
        assert (await on_bucket(MemoryStore()).register(HEADER, sent(MODEL, WEIGHTS))).is_new


async def test_failpoints_are_passed_in_order(tmp_path: Path) -> None:
    """Files first, each of them whole; the transaction last."""
    passed: list[Failpoint] = []
    async with workplace(tmp_path, reach=passed.append) as work:
        await register(work)
    blob = [Failpoint.BLOB_SYNCED, Failpoint.BLOB_RENAMED, Failpoint.FOLDER_SYNCED]
    transaction = [Failpoint.TRANSACTION_BEGUN, Failpoint.ROWS_WRITTEN, Failpoint.COMMITTED]
    assert passed == [Failpoint.STAGED, Failpoint.EXAMINED, *blob, *blob, *transaction]
