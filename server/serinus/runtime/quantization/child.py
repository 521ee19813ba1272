"""Does one errand of a quantizer in a process of its own, which may crash, hang or fill its memory with little harm."""

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_LOWEST_PRIORITY = 10  # of the processor's time; what serves goes first
_LARGEST_FILE_BYTES = 8 << 30


def main() -> None:
    """Read an errand from standard input, write an answer to standard output.

    The arguments are the parent's process number and the seconds of processor time.
    """
    _step_back(parent=int(sys.argv[1]), cpu_s=int(sys.argv[2]))
    answers = os.dup(1)
    os.dup2(2, 1)  # what tools print must not end up in the answer
    # Only now: libraries start threads, and each has the priority of the one that started it.
    from serinus.runtime.quantization.errand_runner import run_errand  # noqa: PLC0415
    from serinus.runtime.quantization.errands import ANSWER, ERRAND  # noqa: PLC0415

    answer = run_errand(ERRAND.validate_json(sys.stdin.buffer.read()))
    with os.fdopen(answers, "wb") as output:
        output.write(ANSWER.dump_json(answer))
    # Without tidying up, in which a damaged model could still hang.
    os._exit(0)


def _step_back(parent: int, cpu_s: int) -> None:
    """Leave the machine to those who serve, and do not outlive the parent."""
    # Not the sandbox of an intake, in which no file can be written; the model has been through that one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() not in {parent, 0}:  # 0: the parent is outside of what this process sees
        os._exit(os.EX_TEMPFAIL)
    os.nice(_LOWEST_PRIORITY)
    with contextlib.suppress(OSError):
        # If memory of the machine runs out, this process goes, and not the server.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for limit, value in ((resource.RLIMIT_FSIZE, _LARGEST_FILE_BYTES), (resource.RLIMIT_CPU, cpu_s)):
        _, hardest = resource.getrlimit(limit)
        lower = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
        resource.setrlimit(limit, (lower, lower))


if __name__ == "__main__":
    main()
