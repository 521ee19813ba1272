"""The registry's calls against a registry in memory."""

import asyncio
import getpass
import hashlib
import json
import socket

import numpy as np
import pytest

from serinus.core.errors import AlreadyExists as TakenError
from serinus.core.errors import Draining, StoreUnavailable
from serinus.core.errors import InvalidInput as WrongError
from serinus_api.v1 import admin_pb2, predict_pb2
from serinus_api.v1 import registry_pb2 as pb
from serinus_client import AlreadyExists, AsyncClient, Client, Conflict, InvalidInput, NotFound, Refused, Unavailable
from tests.client.fake_registry import FakeRegistry

ME = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
async def fake():
    async with FakeRegistry() as running:
        yield running


@pytest.fixture
async def waits():
    """Seconds that the client waited before tries; none of them passes."""
    return []


@pytest.fixture
async def client(fake, waits):
    async def sleep(wait_s):
        waits.append(wait_s)

    async with AsyncClient(fake.target, sleep=sleep) as opened:
        yield opened


async def test_everything_about_models_and_versions_can_be_asked(client, fake):
    """Pages are turned by the client."""
    for number in range(205):
        fake.add("many", f"1.{number}.0")
    fake.add("other", "1.0.0")
    assert [model.name async for model in client.registry.models()] == ["many", "other"]
    assert len((await client.registry.model("many")).versions) == 205
    found = [version.version async for version in client.registry.versions("many")]
    assert (len(found), found[0], found[-1]) == (205, "1.204.0", "1.0.0")
    assert len(fake.asked_for(pb.ListVersionsRequest)) == 3
    assert (await client.registry.version("many", "~1.7")).version == "1.7.0"
    assert (await client.registry.version("many")).aliases == ["stable"]
    card = await client.registry.card("other", "latest")
    assert (card.version, card.markdown.splitlines()[0]) == ("1.0.0", "# other 1.0.0")
    with pytest.raises(NotFound, match="nobody"):
        await client.registry.model("nobody")


async def test_filters_travel_as_the_protocol_has_them(client, fake):
    """Those that nobody gave stay empty."""
    fake.add("m", "1.0.0")
    filters = {
        "within": "^1.2",
        "tags": {"team": "vision"},
        "framework": "torch",
        "metrics": {"accuracy": (0.9, None), "loss": (None, 0.5)},
        "include_archived": True,
    }
    assert [version.version async for version in client.registry.versions("m", **filters)] == ["1.0.0"]
    assert fake.asked == [
        pb.ListVersionsRequest(
            model="m",
            range="^1.2",
            tags={"team": "vision"},
            framework="torch",
            metrics=[pb.MetricBound(name="accuracy", at_least=0.9), pb.MetricBound(name="loss", at_most=0.5)],
            include_archived=True,
            page_size=100,
        )
    ]


async def test_every_write_says_who_writes_and_what_was_expected(client, fake):
    """The caller's user and machine, unless the caller says another name."""
    fake.add("m", "1.0.0")
    fake.add("m", "1.1.0")
    registry = client.registry
    assert dict((await registry.set_alias("m", "canary", "latest")).aliases) == {"stable": "1.0.0", "canary": "1.1.0"}
    assert dict((await registry.remove_alias("m", "canary", actor="ann")).aliases) == {"stable": "1.0.0"}
    assert dict((await registry.set_tags("m", "1.1", {"a": "1", "b": "2"})).tags) == {"a": "1", "b": "2"}
    assert dict((await registry.set_tags("m", "1.1", remove=["a"], expected_revision=5)).tags) == {"b": "2"}
    assert (await registry.archive("m", "1.1.0")).state == pb.VERSION_STATE_ARCHIVED
    assert (await registry.restore("m", "1.1.0")).state == pb.VERSION_STATE_ACTIVE
    assert (await registry.set_card_notes("m", "1.1.0", "Be careful.")).revision == 9
    with pytest.raises(Refused, match="IN_USE"):
        await registry.delete("m", "1.0.0")
    assert await registry.delete("m", "1.1.0", expected_revision=9, actor="ann") == 10
    assert [change.actor for change in fake.changes[2:]] == [ME, "ann", ME, ME, ME, ME, ME, "ann"]
    with pytest.raises(ValueError, match="remove_alias"):
        await registry.set_alias("m", "canary", "")


async def test_the_loser_of_a_race_hears_which_revision_won(client, fake):
    """From the details of the status, which the SDK reads by itself."""
    fake.add("m", "1.0.0")
    fake.add("m", "1.1.0")
    with pytest.raises(Conflict, match="REVISION_MISMATCH: model 'm' is at revision 2, expected 1") as raised:
        await client.registry.set_alias("m", "stable", "1.1.0", expected_revision=1)
    assert raised.value.current_revision == raised.value.again().current_revision == 2


async def test_a_read_is_tried_again_and_a_lost_write_is_not(client, fake, waits):
    """The write may have been done: only its caller can tell whether to repeat it."""
    fake.add("m", "1.0.0")
    fake.faults = {"GetModel": [Draining("going"), None], "SetAlias": [Draining("going")]}
    assert (await client.registry.model("m")).name == "m"
    assert len(waits) == 1
    with pytest.raises(Unavailable, match="DRAINING"):
        await client.registry.set_alias("m", "canary", "1.0.0")
    assert len(waits) == 1


async def test_a_write_that_was_refused_for_now_is_tried_again(client, fake, waits):
    """The server said that it did nothing, and when to come back."""
    fake.add("m", "1.0.0")
    fake.faults = {"SetAlias": [StoreUnavailable("no database", retry_after_s=0.5), None]}
    await client.registry.set_alias("m", "canary", "1.0.0")
    assert len(fake.asked_for(pb.SetAliasRequest)) == 2
    assert [wait_s >= 0.5 for wait_s in waits] == [True]


async def test_registering_sends_what_the_server_does_not_have(client, fake, tmp_path):
    """And says how far it is; the same again sends nothing."""
    model = tmp_path / "net.onnx"
    model.write_bytes(b"m" * (3 << 20))
    golden = tmp_path / "one.npz"
    golden.write_bytes(b"golden")
    seen = []
    facts = {"framework": "pytorch 2.9", "metrics": {"accuracy": 0.93}}
    done = await client.registry.register(
        "m",
        model,
        "1.0.0",
        facts=facts,
        goldens=[golden],
        aliases=["canary"],
        on_progress=lambda *now: seen.append(now),
    )
    assert (done.created, done.revision, done.version.version, done.version.main) == (True, 1, "1.0.0", "net.onnx")
    assert [(file.path, file.size_bytes) for file in done.version.files] == [
        ("goldens/one.npz", 6),
        ("net.onnx", 3 << 20),
    ]
    assert [golden.name for golden in done.version.goldens] == ["goldens/one.npz"]
    assert (json.loads(done.version.facts_yaml), done.version.created_by) == (facts, ME)
    total = 6 + (3 << 20)
    assert seen == [(0, total), *((6 + (n << 20), total) for n in range(4))]
    again = await client.registry.register("m", model, "1.0.0", facts=facts, goldens=[golden])
    assert (again.created, fake.uploads) == (False, [total, 0])


async def test_an_interrupted_upload_goes_on_with_the_files_that_are_missing(client, fake, waits, tmp_path):
    """What arrived whole is not sent again."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"a" * (1 << 20))
    (folder / "copy_of_a.bin").write_bytes(b"a" * (1 << 20))
    (folder / "model.onnx").write_bytes(b"m" * (2 << 20))
    (folder / ".hidden").write_bytes(b"h")
    fake.stop_upload_after = 2 << 20
    done = await client.registry.register("m", folder, "1.0.0")
    assert [file.path for file in done.version.files] == ["a.bin", "copy_of_a.bin", "model.onnx"]
    assert (fake.uploads, len(waits)) == ([2 << 20, 2 << 20], 1)


async def test_with_a_revision_a_lost_registration_is_repeated_as_well(client, fake, waits, tmp_path):
    """The server looks for the version before it looks at the revision."""
    (tmp_path / "model.onnx").write_bytes(b"m" * 100)
    fake.stop_upload_after = 1
    assert (await client.registry.register("m", tmp_path, "1.0.0", expected_revision=0)).created
    assert len(waits) == 1


async def test_files_that_others_bring_meanwhile_are_asked_for_again(client, fake, tmp_path):
    """What was sent then is not what the server waits for; when nothing changed, the refusal is real."""
    (tmp_path / "a.bin").write_bytes(b"a" * 100)
    (tmp_path / "model.onnx").write_bytes(b"m" * 100)
    fake.arriving = [{hashlib.sha256(b"a" * 100).hexdigest(): b"a" * 100}]
    assert (await client.registry.register("m", tmp_path, "1.0.0")).created
    assert fake.uploads == [100, 100]  # it stopped reading at the first file
    fake.faults = {"RegisterModel": [WrongError("changed", reason="HASH_MISMATCH")]}
    with pytest.raises(InvalidInput, match="HASH_MISMATCH: changed"):
        await client.registry.register("m", tmp_path, "1.1.0")


async def test_a_write_whose_end_the_server_does_not_know_is_not_repeated(client, fake, waits):
    """Although it says when to come back."""
    fake.add("m", "1.0.0")
    fake.faults = {"SetAlias": [StoreUnavailable("lost", reason="OUTCOME_UNKNOWN")]}
    with pytest.raises(Unavailable, match="OUTCOME_UNKNOWN"):
        await client.registry.set_alias("m", "canary", "1.0.0")
    assert waits == []


async def test_a_server_that_answers_early_is_heard(client, fake, tmp_path):
    """While megabytes are still to be sent, its refusal counts and not the broken pipe."""
    (tmp_path / "model.onnx").write_bytes(b"m" * (16 << 20))
    fake.add("m", "1.0.0")
    fake.faults = {"RegisterModel": [TakenError("m@1.0.0 is there with other bytes")]}
    with pytest.raises(AlreadyExists, match="other bytes"):
        await client.registry.register("m", tmp_path, "1.0.0")


async def test_what_is_not_there_is_said_before_anything_is_sent(client, fake, tmp_path):
    """With the file's name: it is the caller's own."""
    with pytest.raises(InvalidInput, match=r"there is no file '.*nothing\.onnx'"):
        await client.registry.register("m", tmp_path / "nothing.onnx", "1.0.0")
    with pytest.raises(InvalidInput, match=r"expected one \.onnx file, got none"):
        await client.registry.register("m", tmp_path, "1.0.0")
    assert fake.asked == []


async def test_a_caller_who_gives_up_ends_the_upload(client, tmp_path):
    """And the client goes on."""
    (tmp_path / "model.onnx").write_bytes(b"m" * (64 << 20))
    begun = asyncio.Event()
    task = asyncio.ensure_future(client.registry.register("m", tmp_path, "1.0.0", on_progress=lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [model async for model in client.registry.models()] == []


async def test_changes_are_followed_over_a_lost_connection(client, fake, waits):
    """Each once, in order; those already made come first."""
    fake.add("m", "1.0.0")
    seen = []
    async for change in client.registry.watch():
        seen.append((change.revision, change.action, change.model))
        match change.revision:
            case 1:
                fake.break_streams()
                fake.add("m", "1.1.0")
            case 2:
                fake.add("n", "1.0.0")
            case 3:
                break
    assert seen == [(1, "version.register", "m"), (2, "version.register", "m"), (3, "version.register", "n")]
    assert [request.after_revision for request in fake.asked_for(pb.WatchRequest)] == [0, 1]
    assert len(waits) == 1


async def test_a_watch_of_a_server_that_stays_away_ends(client, fake, waits):
    """As other calls do."""
    fake.faults = {"Watch": [Draining("going")] * 9}
    with pytest.raises(Unavailable, match="DRAINING"):
        await anext(client.registry.watch(model="m"))
    assert len(waits) == 3


async def test_a_quantization_streams_its_progress(client, fake):
    """Arrays are encoded as the version's own inputs are, and the version is pinned."""
    takes = predict_pb2.TensorInfo(name="x", dtype=predict_pb2.DATA_TYPE_FP32, shape=[-1, 2], batch_axis=0)
    fake.add("m", "1.0.0", inputs=[takes])
    fake.steps = [
        pb.QuantizeModelResponse(stage="measure", done=1, total=2),
        pb.QuantizeModelResponse(report=pb.QuantizationReport(winner="dynamic")),
    ]
    rows = np.array([[1.0, 2.0]], np.float32)
    steps = [step async for step in client.registry.quantize("m", calibration={"x": rows}, recipes=["dynamic"])]
    assert steps == fake.steps
    (request,) = fake.asked_for(pb.QuantizeModelRequest)
    (tensor,) = request.calibration
    assert (request.selector, tensor.name, tensor.data, list(tensor.shape)) == ("1.0.0", "x", rows.tobytes(), [1, 2])
    with pytest.raises(InvalidInput, match="UNKNOWN_INPUT"):
        await anext(client.registry.quantize("m", calibration={"y": rows}))


async def test_the_operators_part(client, fake):
    """Loads, unloads and the audit."""
    for number in range(101):
        fake.add("m", f"1.{number}.0")
    assert [version.version for version in (await client.admin.load_model("m", "~1.1")).versions] == ["1.1.0"]
    assert len((await client.admin.unload_model("m", "1.1.0", actor="ann")).versions) == 100
    assert fake.asked[:2] == [
        admin_pb2.LoadModelRequest(model="m", selector="~1.1", actor=ME),
        admin_pb2.UnloadModelRequest(model="m", selector="1.1.0", actor="ann"),
    ]
    assert [entry.revision async for entry in client.admin.list_audit(after_revision=1)] == list(range(2, 102))
    assert (await client.admin.verify_audit()).head == fake.audit.head


async def test_everything_works_from_threads(fake, tmp_path):
    """Iterators too, and they may be left early."""
    (tmp_path / "model.onnx").write_bytes(b"m")
    fake.steps = [pb.QuantizeModelResponse(stage="measure")]

    def work():
        with Client(fake.target) as client:
            registry = client.registry
            assert registry.register("m", tmp_path, "1.0.0").created
            registry.register("m", tmp_path, "1.1.0")
            assert [model.name for model in registry.models()] == ["m"]
            assert [version.version for version in registry.versions("m")] == ["1.1.0", "1.0.0"]
            assert registry.model("m").revision == 2
            assert registry.version("m", "latest").version == "1.1.0"
            assert registry.set_alias("m", "canary", "latest").aliases["canary"] == "1.1.0"
            assert registry.remove_alias("m", "canary").revision == 4
            assert registry.set_tags("m", "latest", {"a": "b"}).tags["a"] == "b"
            assert registry.archive("m", "1.1.0").state == pb.VERSION_STATE_ARCHIVED
            assert registry.restore("m", "1.1.0").state == pb.VERSION_STATE_ACTIVE
            assert registry.card("m").version == "1.0.0"
            assert registry.set_card_notes("m", "", "note").version == "1.0.0"
            assert registry.download("m", "", "", tmp_path / "copy").read_bytes() == b"m"
            assert [step.stage for step in registry.quantize("m")] == ["measure"]
            assert registry.delete("m", "1.1.0") == 9
            changes = registry.watch(after_revision=3)
            assert [next(changes).action for _ in range(2)] == ["alias.remove", "tags.set"]
            changes.close()
            assert [entry.revision for entry in client.admin.list_audit(after_revision=8)] == [9]
            assert client.admin.load_model("m").versions[0].version == "1.0.0"
            assert len(client.admin.unload_model("m").versions) == 0
            assert client.admin.verify_audit().problem == ""
            left = registry.watch()
            next(left)
        left.close()

    await asyncio.to_thread(work)
