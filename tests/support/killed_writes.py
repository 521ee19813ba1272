"""Run as a script: does writes in processes of their own, each of which kills itself at a failpoint.

    python -m tests.support.killed_writes '[{"folder": …, "operation": …, "point": …, "occurrence": …}, …]'

Prints how each ended, a line each: "killed", "done", or "failed". One interpreter is started for all of them, because
importing takes longer than the writes; it forks before it runs anything.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from pathlib import Path

from serinus.registry.failpoints import Failpoint
from tests.support.registrations import FOLDER, WEIGHTS, Header, Workplace, declared, sent, workplace

ADDED = {"model.onnx": b"another model", "weights.bin": WEIGHTS, "labels.txt": b"labels"}
"""The files of the version that is registered: two that are new, and one that the store has."""
ADDED_HEADER = Header(version="1.0.2", files=declared(ADDED), aliases=("candidate",))


async def prepare(folder: Path) -> None:
    """Leave a registry in `folder` with two versions, as a server that was stopped does."""
    async with workplace(folder) as work:
        header = Header(files=declared(FOLDER))
        await work.registrations.register(header, sent(*FOLDER.values()))
        second = {"model.onnx": b"a second model"}
        await work.registrations.register(Header(version="1.0.1", files=declared(second)), sent(*second.values()))


async def do(work: Workplace, operation: str) -> None:
    """One write that returns when it is acknowledged."""
    if operation == "register":
        absent = [ADDED["model.onnx"], ADDED["labels.txt"]]
        await work.registrations.register(ADDED_HEADER, sent(*absent))
    else:
        await work.registry.set_alias("m", "stable", "1.0.1", actor="ann")


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
