"""Child processes that do errands, and those that die on the way."""

import asyncio
import os
import sys
import time

import pytest

from serinus.config.models import ModelOptions
from serinus.runtime.quantization.calibration import write_calibration
from serinus.runtime.quantization.errand_process import ErrandProcesses
from serinus.runtime.quantization.errands import Build, Built, Failure, Measure, Prepare, Prepared, Timed
from serinus.runtime.quantization.preparing_ways import Way
from serinus.runtime.quantization.recipe_names import RecipeName
from serinus.runtime.quantization.report import QuantizationBounds
from tests.runtime.quantization.quantization_models import dense, dense_rows, outside, swelling

CHILD = (sys.executable, "-P", "-m", "serinus.runtime.quantization.child")


@pytest.fixture
def processes(tmp_path):
    """A function from a child's command, or the text of a program, to a place where errands are done."""

    def make(command=CHILD, *, environment=os.environ, memory_bytes=4 << 30, options=None):
        if isinstance(command, str):
            command = (sys.executable, "-c", command)
        return ErrandProcesses(tmp_path, options or ModelOptions(), ("cpu",), command, environment, memory_bytes)

    return make


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the process that tried it crashed (SIGSEGV)"),
        ("raise SystemExit(1)", "the process that tried it failed without an answer"),
        ("print('nonsense')", "the process that tried it failed without an answer"),
        ("raise MemoryError", "it takes more than 4096 MiB of memory, or more than the machine has"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "it takes more than 4096 MiB of memory, or more than the machine has",
        ),
        (r'print(\'{"message": "a\\u001bb", "reason": "", "field": ""}\')'.replace("\\'", "'"), "a?b"),
    ],
)
async def test_a_child_that_dies_is_a_failure_in_a_sentence(processes, program, sentence):
    """Nobody else is harmed, and nothing that could be obeyed by a terminal comes through."""
    assert await processes(program).ask(Measure((), 0.1, 1), 30) == Failure(sentence)


async def test_a_child_that_hangs_is_killed(processes):
    """When its time is over."""
    started = time.monotonic()
    answer = await processes("import time; time.sleep(60)").ask(Measure((), 0.1, 1), 0.3)
    assert answer == Failure("it takes more than 0.3 s")
    assert time.monotonic() - started < 20


async def test_whoever_is_cancelled_has_killed_the_child(processes, tmp_path):
    """Nothing goes on computing for nobody."""
    # The child tells its number through a pipe in the file system, so that this need not look again and again.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    program = f"import os, time; open({str(fifo)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(processes(program).ask(Measure((), 0.1, 1), 60))
    child = int(await asyncio.to_thread(fifo.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


async def test_a_child_gets_no_secrets(processes, tmp_path):
    """Of the environment only what finds libraries is handed on."""
    told = tmp_path / "told"
    program = f"import os; open({str(told)!r}, 'w').write(' '.join(sorted(os.environ)))"
    await processes(program, environment={"SERINUS_TOKEN": "secret", "LD_LIBRARY_PATH": "/lib"}).ask(
        Measure((), 0.1, 1), 30
    )
    assert "LD_LIBRARY_PATH" in told.read_text().split()
    assert "SERINUS_TOKEN" not in told.read_text().split()


async def test_errands_follow_each_other_on_one_workbench(processes, tmp_path):
    """Each is done by a process of its own; what one leaves, the next finds. Here with weights in another file."""
    folder = tmp_path / "model"
    folder.mkdir()
    content, weights = outside(dense())
    (folder / "model.onnx").write_bytes(content)
    (folder / "weights.bin").write_bytes(weights)
    write_calibration(dense_rows(), tmp_path / "calibration.npz")
    children = processes()
    size_bytes = len(content) + len(weights)
    prepared = await children.ask(Prepare(folder / "model.onnx", tuple(Way)), 60)
    assert prepared == Prepared(size_bytes, 16, is_ready=True)
    built = await children.ask(Build(RecipeName.DYNAMIC_MATMUL, QuantizationBounds(), 10, 16), 60)
    assert isinstance(built, Built)
    assert built.size_bytes < size_bytes
    assert await children.ask(Build(RecipeName.DYNAMIC_ALL, QuantizationBounds(), 10, 16), 60) == Failure(
        "only matrix multiplications could be quantized: see dynamic-matmul"
    )
    timed = await children.ask(Measure((RecipeName.DYNAMIC_MATMUL,), 0.2, 16), 60)
    assert isinstance(timed, Timed)
    assert set(timed.timings) == {RecipeName.FLOAT, RecipeName.DYNAMIC_MATMUL}


async def test_memory_that_a_model_may_not_take_is_a_failure(processes, tmp_path):
    """And not the end of the machine."""
    (tmp_path / "model.onnx").write_bytes(swelling())
    write_calibration(dense_rows(1), tmp_path / "calibration.npz")
    answer = await processes(memory_bytes=128 << 20).ask(Prepare(tmp_path / "model.onnx", tuple(Way)), 60)
    assert isinstance(answer, Failure)
    assert answer.message
