"""Versions are loaded by a process that has little to lose; what happens to it happens to nobody else."""

import asyncio
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from serinus.config.models import ModelOptions, Tolerance
from serinus.core.dtypes import DType
from serinus.core.errors import ModelRejected, StoreUnavailable
from serinus.core.signature import Signature, TensorSpec
from serinus.runtime.child_process import ChildProcess, End
from serinus.runtime.golden_files import write_golden
from serinus.runtime.goldens import GoldenRun
from serinus.runtime.intake import Intake, IntakeLimits
from serinus.runtime.session import newest_ir_version, newest_opset
from tests.support import models

X, Y = models.value("x", DType.FP32, ["N", 4]), models.value("y", DType.FP32, ["N", 4])
WEIGHTS = np.arange(4, dtype=np.float32)
MIB = 1 << 20


@pytest.fixture(scope="session")
def intake() -> Intake:
    """Two at once: so many processors any machine has."""
    return Intake(IntakeLimits(memory_bytes=512 * MIB, timeout_s=30, parallel=2))


def staged(folder: Path, content: bytes) -> Path:
    (folder / "model.onnx").write_bytes(content)
    return folder


async def refusal(intake: Intake, folder: Path, **options) -> tuple[str, str]:
    with pytest.raises(ModelRejected) as caught:
        await intake.examine(folder, "model.onnx", ModelOptions(), **options)
    return caught.value.reason, caught.value.message


def children(parent: int = os.getpid()) -> list[int]:
    """Processes that this one has started and not reaped."""
    found: list[int] = []
    for thread in Path(f"/proc/{parent}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found.extend(int(pid) for pid in (thread / "children").read_text().split())
    return found


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leftovers() -> list[str]:
    return [path.name for path in Path(tempfile.gettempdir()).glob(f"serinus-child-{os.getpid()}-*")]


@pytest.fixture(autouse=True)
async def _nothing_is_left():
    """No process, no folder, no open file; the event loop has its own, so that it must be there before."""
    others, files = set(children()), open_files()  # of other tests; theirs may end meanwhile
    yield
    gc.collect()
    assert set(children()) <= others
    assert open_files() <= files
    assert leftovers() == []


async def test_a_model_that_can_be_served_is_described(intake, tmp_path):
    """As it will be when it serves; and what loading it took."""
    report = await intake.examine(staged(tmp_path, models.tabular()), "model.onnx", ModelOptions())
    assert report.signature == Signature(
        inputs=(TensorSpec("x", DType.FP32, ("N", 8), 0),), outputs=(TensorSpec("y", DType.FP32, ("N", 4), 0),)
    )
    assert (report.notes, report.goldens) == ((), ())
    assert 0 < report.load_s < 30
    assert 32 * MIB < report.peak_bytes < 512 * MIB
    assert 0 < report.resident_bytes < report.peak_bytes


async def test_what_an_operator_should_know_is_told(intake, tmp_path):
    """In sentences."""
    report = await intake.examine(staged(tmp_path, models.batch_leak()), "model.onnx", ModelOptions())
    assert len(report.notes) == 1
    assert not report.signature.is_batched


async def test_options_and_samples_count(intake, tmp_path):
    """A sample lies in the bundle, and so may the model in a folder."""
    below = tmp_path / "m"
    below.mkdir()
    staged(below, models.batch_axis_one())
    (tmp_path / "x.raw").write_bytes(np.ones((2, 3), np.float32).tobytes())
    described = {"dtype": "FP32", "dims": [2, 3], "fill": "file", "file": "x.raw"}
    options = ModelOptions(
        batch_axes={"x": 1, "y": 1}, warm_up=[{"name": "s", "inputs": {"x": described}}], labels={"y": ["a"] * 100_000}
    )
    report = await intake.examine(tmp_path, "m/model.onnx", options)
    assert [spec.batch_axis for spec in (*report.signature.inputs, *report.signature.outputs)] == [1, 1]
    (tmp_path / "x.raw").unlink()
    with pytest.raises(ModelRejected, match="its data file does not hold"):
        await intake.examine(tmp_path, "m/model.onnx", options)


async def test_golden_requests_are_made(intake, tmp_path):
    """Those that pass are reported, one that does not is a refusal."""
    staged(tmp_path, models.identity())
    values = np.array([[1, 2]], np.float32)
    write_golden(tmp_path / "good.npz", {"x": values}, {"y": values})
    write_golden(tmp_path / "near.npz", {"x": values}, {"y": values + np.float32(0.25)})
    report = await intake.examine(
        tmp_path, "model.onnx", ModelOptions(), ("good.npz", "near.npz"), Tolerance(absolute=0.5)
    )
    assert report.goldens == (GoldenRun("good.npz", 0.0), GoldenRun("near.npz", 0.25))
    message = (
        "golden request 'near.npz', output 'y': differs by 0.25 at [0, 0]: expected 1.25 and at most 0.000135 from it,"
        " got 1"
    )
    assert await refusal(intake, tmp_path, goldens=("near.npz",)) == ("GOLDEN_MISMATCH", message)


def weight(*, location: str = "", **said: int | str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def adding(tensor: TensorProto) -> bytes:
    return models.build([helper.make_node("Add", ["x", "w"], ["y"])], [X], [Y], [tensor])


def field(number: int, payload: bytes) -> bytes:
    """Of a message, written by hand: the library's own writer is slow for many, and has the limit on depth."""
    length, encoded = len(payload), bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([number << 3 | 2, *encoded, length]) + payload


def deep(levels: int) -> bytes:
    """Branches in branches."""
    graph = b""
    for _ in range(levels):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    return b"\x08\x0a" + field(7, graph + field(12, field(1, b"y")))


def many(nodes: int) -> bytes:
    """A chain."""
    chain = b"".join(
        field(1, field(1, b"t%07d" % index) + field(2, b"t%07d" % (index + 1)) + field(4, b"Identity"))
        for index in range(nodes)
    )
    ends = ((11, "t0000000"), (12, f"t{nodes:07}"))
    values = (field(number, models.value(name, DType.FP32, ["N"]).SerializeToString()) for number, name in ends)
    return b"\x08\x0a\x42\x02\x10\x11" + field(7, chain + b"".join(values))


def bomb(elements: int) -> bytes:
    """y = x, as wide as `elements`."""
    return models.build(
        [helper.make_node("Expand", ["x", "wide"], ["y"])],
        [models.value("x", DType.FP32, ["N", 1])],
        [models.value("y", DType.FP32, ["N", "M"])],
        [models.constant("wide", np.array([1, elements], np.int64))],
    )


def forbidden(what: str) -> tuple[str, str]:
    return "EXTERNAL_DATA_FORBIDDEN", f"the location of the model's external data {what}"


def damaged(size_bytes: int) -> tuple[str, str]:
    return (
        "INVALID_MODEL",
        f"the model file 'model.onnx' of {size_bytes} bytes is not an ONNX model, or is damaged",
    )


LINK = forbidden("goes through a symbolic link, or through a file as if it were a folder")
NO_ANSWER = "CRASHED", "the process that loaded it failed without an answer"
TOO_MUCH = "TOO_MUCH_MEMORY", "loading and warming up takes more than 512 MiB of memory"


def _impossible(dims: list[int]) -> tuple[str, str]:
    return "INVALID_MODEL", f"the model file 'model.onnx' holds the weight 'w' of the impossible shape {dims}"


def _outside(offset: int, length: int) -> tuple[str, str]:
    where = f"offset {offset} and length {length}"
    return "INVALID_MODEL", f"the model's external data lies outside its file: expected at most 16 bytes, got {where}"


FOREIGN = (
    "the model file 'model.onnx' uses the operator 'Run' of the unknown domain 'evil.ops'; custom operators are not"
    " loaded"
)
HOSTILE: dict[str, tuple[bytes, tuple[str, str]]] = {
    "empty": (b"", ("INVALID_MODEL", "the model file 'model.onnx' is empty")),
    "truncated": (models.tabular()[:-7], damaged(len(models.tabular()) - 7)),
    "garbage": (b"\x7fELF not a model", damaged(16)),
    "future opset": (
        models.identity(opset=99),
        (
            "MODEL_TOO_NEW",
            f"the model file 'model.onnx' needs opset 99; the newest supported is {newest_opset()}",
        ),
    ),
    "future format": (
        models.identity(ir_version=99),
        (
            "MODEL_TOO_NEW",
            f"the model file 'model.onnx' has IR version 99; the newest supported is {newest_ir_version()}",
        ),
    ),
    "foreign operator": (
        models.build([helper.make_node("Run", ["x"], ["y"], domain="evil.ops")], [X], [Y]),
        ("UNKNOWN_OPERATOR", FOREIGN),
    ),
    "many nodes": (
        many(200_001),
        ("TOO_MANY_NODES", "the model file 'model.onnx' has too many nodes: expected at most 200000"),
    ),
    "deep": (deep(10_000), damaged(len(deep(10_000)))),
    "huge weight": (adding(TensorProto(name="w", data_type=1, dims=[2**40])), _impossible([2**40])),
    "negative weight": (adding(TensorProto(name="w", data_type=1, dims=[-4])), _impossible([-4])),
    "up": (adding(weight(location="../secret.bin")), forbidden("leaves the model's folder")),
    "up and down": (adding(weight(location="sub/../../secret.bin")), forbidden("leaves the model's folder")),
    "absolute": (adding(weight(location="/etc/passwd")), forbidden("is not a path below the model's folder")),
    "symlink": (adding(weight(location="link.bin")), LINK),
    "linked folder": (adding(weight(location="linked/secret.bin")), LINK),
    "hard link": (adding(weight(location="hard.bin")), forbidden("is a hard link to a file that has other names")),
    "pipe": (adding(weight(location="pipe.bin")), forbidden("is not a plain file")),
    "memory": (adding(weight(location="*/_ORT_MEM_ADDR_/*")), forbidden("points into memory")),
    "past the end": (adding(weight(location="w.bin", offset=8, length=16)), _outside(8, 16)),
    "far past the end": (adding(weight(location="w.bin", length=2**40)), _outside(0, 2**40)),
    "output bomb": (bomb(1 << 31), TOO_MUCH),
    "impossible bomb": (bomb(1 << 50), TOO_MUCH),
}
CONTRADICTORY: dict[str, tuple[bytes, str]] = {
    "cycle": (
        models.build([helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["x", "a"], ["b"])], [X],
                     [models.value("a", DType.FP32, ["N", 4])]),
        "its graph has a cycle",
    ),
    "one name twice": (
        models.build([helper.make_node("Identity", ["x"], ["y"])] * 2, [X], [Y]),
        "it defines a name twice",
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
async def answers(intake, tmp_path_factory) -> dict[str, tuple[str, str]]:
    """What is said about each hostile model; all at once, because most of the time goes into starting processes."""
    root = tmp_path_factory.mktemp("hostile")
    (root / "secret.bin").write_bytes(WEIGHTS.tobytes())

    async def examined(index: int, name: str, content: bytes) -> tuple[str, tuple[str, str]]:
        folder = root / str(index)
        folder.mkdir()
        (folder / "w.bin").write_bytes(WEIGHTS.tobytes())
        (folder / "link.bin").symlink_to(root / "secret.bin")
        (folder / "linked").symlink_to(root)
        os.link(root / "secret.bin", folder / "hard.bin")
        os.mkfifo(folder / "pipe.bin")
        return name, await refusal(intake, staged(folder, content))

    contents = {name: content for name, (content, _) in (HOSTILE | CONTRADICTORY).items()}
    return dict(await asyncio.gather(*(examined(index, *each) for index, each in enumerate(contents.items()))))


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_model_is_refused_in_a_sentence(answers, name):
    """Whatever it would have done to the process that loads it."""
    assert answers[name] == HOSTILE[name][1]


@pytest.mark.parametrize("name", CONTRADICTORY)
async def test_a_contradictory_model_is_refused_in_a_sentence(answers, name):
    """Found by onnxruntime, said in our words."""
    reason, message = answers[name]
    assert reason == "INVALID_MODEL"
    assert message.endswith(f" refuses the model file 'model.onnx': {CONTRADICTORY[name][1]}")


async def test_a_model_that_never_answers_is_given_up(tmp_path):
    """Its loop runs in native code, which nothing but the end of its process stops."""
    intake = Intake(IntakeLimits(timeout_s=1.5))
    started = time.monotonic()
    assert await refusal(intake, staged(tmp_path, models.slow(2**40))) == (
        "TOO_SLOW",
        "loading and warming up takes more than 1.5 s",
    )
    assert 1.5 <= time.monotonic() - started < 15  # it would take days


async def test_a_system_without_room_for_a_process_is_no_fault_of_the_model(tmp_path):
    """The next try may find some."""
    intake = Intake(IntakeLimits(), command=(str(tmp_path / "no-such-program"),))
    with pytest.raises(StoreUnavailable) as caught:
        await intake.examine(staged(tmp_path, models.tabular()), "model.onnx", ModelOptions())
    assert str(tmp_path) not in caught.value.message


async def test_nobody_waiting_ends_the_child(tmp_path):
    """At once, wherever it is; the next version has its turn."""
    intake = Intake(IntakeLimits(timeout_s=60))
    staged(tmp_path, models.slow(2**40))
    others = set(children())  # of other tests, which may keep some for all of them
    for wait_s in (0, 0.05, 1):
        examining = asyncio.create_task(intake.examine(tmp_path, "model.onnx", ModelOptions()))
        waiting = asyncio.create_task(intake.examine(tmp_path, "model.onnx", ModelOptions()))
        await asyncio.sleep(wait_s)
        started = time.monotonic()
        waiting.cancel()
        examining.cancel()
        await asyncio.wait((examining, waiting))
        assert examining.cancelled()
        assert waiting.cancelled()
        assert time.monotonic() - started < 15, "they have a minute each"
        assert set(children()) <= others
    staged(tmp_path, models.tabular())
    assert (await intake.examine(tmp_path, "model.onnx", ModelOptions())).signature.is_batched


CHILD_S = 40.0  # to start Python on a machine whose cores are all busy


def ending(code: str) -> Intake:
    """An intake whose child does something else than it should."""
    return Intake(
        IntakeLimits(timeout_s=CHILD_S, memory_bytes=512 * MIB),
        command=(sys.executable, "-c", f"import os, sys; {code}"),
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("os.kill(os.getpid(), 11)", ("CRASHED", "the process that loaded it crashed (SIGSEGV)")),
        ("os.abort()", ("CRASHED", "the process that loaded it crashed (SIGABRT)")),
        ("os.write(2, b'std::bad_alloc'); os.abort()", TOO_MUCH),
        (
            "os.kill(os.getpid(), 9)",
            (
                "TOO_MUCH_MEMORY",
                "the process that loaded it was killed by the system, most often for want of memory",
            ),
        ),
        ("os.kill(os.getpid(), 24)", ("TOO_SLOW", "loading and warming up takes more than 40 s")),
        ("sys.exit(3)", NO_ANSWER),
        ("print('hello')", NO_ANSWER),
        ("print('[' * 100_000)", NO_ANSWER),
        ("[os.write(1, bytes(65536)) for _ in range(1000)]", NO_ANSWER),
        (
            "print('{\"message\": \"a\\\\u0000b' + 'c' * 999 + '\", \"reason\": \"R\"}')",
            ("R", "a?b" + "c" * 509),
        ),
    ],
    ids=["segfault", "abort", "no memory", "killed", "cpu", "exit", "nonsense", "nested", "flood", "control characters"]
)  # fmt: skip
async def test_a_child_that_ends_otherwise_is_a_refusal(tmp_path, code, expected):
    """In words about the model, whatever the child says."""
    assert await refusal(ending(code), staged(tmp_path, models.tabular())) == expected


async def test_what_a_child_starts_ends_with_it(tmp_path):
    """Even if it leaves at once and keeps the pipes open."""
    code = "p = os.fork() or os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])"
    started = time.monotonic()
    await refusal(ending(code), staged(tmp_path, models.tabular()))
    assert time.monotonic() - started < CHILD_S / 2, "its pipes were not waited for"


LOOK = r"""
import json, os, resource, socket, sys
from serinus.runtime.sandbox import enter_sandbox
before = os.listdir('.')
enter_sandbox(int(sys.argv[1]), int(sys.argv[2]))
written = 0
try:
    with open('file', 'wb') as file:
        written = file.write(b'x') and (file.flush() or 1)
except OSError:
    pass
print(json.dumps({
    'files': before, 'written': written, 'environment': sorted(os.environ), 'interfaces': socket.if_nameindex(),
    'core': resource.getrlimit(resource.RLIMIT_CORE)[1], 'cpu': resource.getrlimit(resource.RLIMIT_CPU)[1],
    'nice': os.nice(0), 'leader': os.getsid(0) == os.getpid(),
}))
"""


async def test_the_child_has_little_to_lose():
    """No files, no secrets, no network card but its own loopback, no way to write."""
    secrets = {"SERINUS_TOKEN": "s", "AWS_SECRET_ACCESS_KEY": "s", "LANG": "C.UTF-8", "HOME": "/root"}
    intake = Intake(IntakeLimits(), environment=secrets)
    child = ChildProcess(
        (sys.executable, "-c", LOOK, str(os.getpid()), "60"),
        request=b"",
        environment=intake._environment,
        timeout_s=60,
    )
    ended = await child.ended()
    assert (ended.end, ended.code) == (End.EXITED, 0), ended.errors
    found = json.loads(ended.output)
    names = {name for _, name in found.pop("interfaces")}
    assert names <= {"lo"} or os.getuid() != 0, "a user may not be allowed a network of its own"
    assert set(found.pop("environment")) == {
        "LANG", "LC_CTYPE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY",
        "PYTHONDONTWRITEBYTECODE",
    } - ({"LC_CTYPE"} if "LC_CTYPE" not in found else set())  # fmt: skip
    assert found == {"files": [], "written": 0, "core": 0, "cpu": 60, "nice": 10, "leader": True}


async def test_damaged_models_are_refused_or_loaded(tmp_path):
    """Hundreds of them, each with some bits flipped or its end cut off: none takes the process down."""
    del tmp_path
    count = 400
    outcomes: Counter[str] = Counter()
    root = Path(__file__).parents[2]
    child = ChildProcess(
        (sys.executable, "-P", "-m", "tests.runtime.mutants", "0", str(count)),
        request=b"",
        environment={"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
        timeout_s=60,
    )
    ended = await child.ended()
    outcomes.update(ended.output.decode().split())
    assert (ended.end, ended.code) == (End.EXITED, 0), (outcomes, ended.errors[-2000:])
    assert outcomes.total() == count
    assert set(outcomes) <= {
        "loaded", "INVALID_MODEL", "MODEL_TOO_NEW", "UNKNOWN_OPERATOR", "UNSUPPORTED_TYPE", "UNKNOWN_RANK",
        "EXTERNAL_DATA_FORBIDDEN", "TOO_MUCH_MEMORY",
    }  # fmt: skip
    assert outcomes["INVALID_MODEL"] > count / 10


EXAMINING = """
import asyncio, pathlib, sys
from serinus.config.models import ModelOptions
from serinus.runtime.intake import Intake, IntakeLimits
asyncio.run(Intake(IntakeLimits(timeout_s=60)).examine(pathlib.Path(sys.argv[1]), 'model.onnx', ModelOptions()))
"""


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_does_not_outlive_a_server_that_is_killed(tmp_path):
    """The system sees to it; nobody else could."""
    staged(tmp_path, models.slow(2**40))
    command = (sys.executable, "-c", EXAMINING, str(tmp_path))
    give_up = time.monotonic() + 60
    with subprocess.Popen(command, env={"TMPDIR": str(tmp_path)}) as server:
        while not (found := children(server.pid)) and time.monotonic() < give_up:
            time.sleep(0.02)
        time.sleep(0.5)  # it has entered its sandbox by now
        assert all(map(is_running, found))
        server.kill()
    assert len(found) == 1
    while any(map(is_running, found)):
        assert time.monotonic() < give_up
        time.sleep(0.02)
