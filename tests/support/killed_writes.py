"""Run as a script: does writes in processes of their own, each of which kills itself at a failpoint.

    python -m tests.support.killed_writes '[{"folder": …, "operation": …, "point": …, "occurrence": …}, …]'

Prints how each ended, a line each: "killed", "done", or "failed". One interpreter is started for all of them, because
importing takes longer than the writes; it forks before it runs anything.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from serinus.core.version import ModelVersion, Version
from serinus.registry.failpoints import Failpoint
from serinus.registry.rollout_records import RolloutChange
from tests.support.registrations import FOLDER, WEIGHTS, Header, Workplace, declared, sent, workplace
from tests.support.rollout_changes import OLD, change_to, end, split_of, window

ADDED = {"model.onnx": b"another model", "weights.bin": WEIGHTS, "labels.txt": b"labels"}
"""The files of the version that is registered: two that are new, and one that the store has."""
ADDED_HEADER = Header(version="1.0.2", files=declared(ADDED), aliases=("candidate",))
SECOND = ModelVersion("m", Version(1, 0, 1), 2)


async def prepare(folder: Path) -> None:
    """Leave a registry in `folder` with two versions, as a server that was stopped does."""
    async with workplace(folder) as work:
        header = Header(files=declared(FOLDER))
        await work.registrations.register(header, sent(*FOLDER.values()))
        second = {"model.onnx": b"a second model"}
        await work.registrations.register(Header(version="1.0.1", files=declared(second)), sent(*second.values()))


async def prepare_rollout(folder: Path) -> None:
    """Leave the same, and a rollout under way that a controller moves, at revision 3."""
    await prepare(folder)
    async with workplace(folder) as work:
        await work.rollouts.begin("r1", "m", canary(500), actor="ann")
        await work.rollouts.take_lease("s1", seen=None)


def canary(weight: int) -> RolloutChange:
    """Of 1.0.1, at that weight."""
    return change_to(weight, split=split_of(weight, to=SECOND), kept=(OLD, SECOND))


async def do(work: Workplace, operation: str) -> None:
    """One write that returns when it is acknowledged."""
    if operation == "register":
        absent = [ADDED["model.onnx"], ADDED["labels.txt"]]
        await work.registrations.register(ADDED_HEADER, sent(*absent))
    elif operation == "alias":
        await work.registry.set_alias("m", "stable", "1.0.1", actor="ann")
    else:
        await _do_with_rollouts(work, operation)


async def _do_with_rollouts(work: Workplace, operation: str) -> None:
    lease = await work.rollouts.lease()
    match operation:
        case "begin":
            await work.rollouts.begin("r1", "m", canary(500), actor="ann")
        case "advance":
            await work.rollouts.write("r1", canary(5000), actor="s1", expected_revision=3, lease=lease)
        case "promote":
            over = end("succeeded", stable=SECOND)
            await work.rollouts.write("r1", over, actor="s1", expected_revision=3, lease=lease)
        case "roll back":
            await work.rollouts.write("r1", end("rolled_back"), actor="s1", expected_revision=3, lease=lease)
        case "publish":
            await work.rollouts.publish(window())
        case "take the lease":
            await work.rollouts.take_lease("s2", seen=lease)
        case "split":
            await work.registry.set_split("m", split_of(500, to=SECOND, rollout=""), actor="ann")
        case _:
            raise ValueError(operation)


def ends_of(order: Sequence[Mapping[str, str | int]]) -> Sequence[str]:
    """How each of the writes ended, which a process of its own does one after the other."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_writes", json.dumps(order)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


async def _run(folder: Path, operation: str, point: Failpoint, occurrence: int) -> None:
    left = occurrence

    def reach(reached: Failpoint) -> None:
        nonlocal left
        if reached is point:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    async with workplace(folder, reach=reach) as work:
        await do(work, operation)


def _in_a_process(case: dict[str, str | int]) -> str:
    process = os.fork()
    if process == 0:
        code = 1
        try:
            point = Failpoint[str(case["point"])]
            asyncio.run(_run(Path(str(case["folder"])), str(case["operation"]), point, int(case["occurrence"])))
            code = 0
        except BaseException:  # noqa: BLE001 - the outermost frame of a process: what it means is printed
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    return "done" if status == 0 else "failed"


def main() -> None:
    """Run the cases of the first argument."""
    for case in json.loads(sys.argv[1]):
        sys.stdout.write(_in_a_process(case) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
