"""Decides whether a version is accepted: a child process loads it first, and what happens to it happens to nobody."""

import asyncio
import dataclasses
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from serinus.config.models import ModelOptions, Tolerance
from serinus.core.errors import ModelRejected
from serinus.runtime.child_process import ChildProcess, End, Ended, as_sentence, bare_environment
from serinus.runtime.intake_report import ANSWER, REQUEST, IntakeReport, IntakeRequest, Refusal, too_much_memory
from serinus.telemetry.logs import get_logger
from serinus.threads import to_thread

log = get_logger("serinus.intake")

_MEMORY_BYTES, _MEMORY_PER_BYTE = 4 << 30, 4  # a large run's tensors; weights read, parsed, and laid out anew


@dataclasses.dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What examining one version may take.

    Attributes:
        memory_bytes: Most memory; None stands for four times the version's files and 4 GiB.
        timeout_s: Longest time from start to end of the child process.
        parallel: Examinations at once; others wait.
    """

    memory_bytes: int | None = None
    timeout_s: float = 120.0  # gigabytes load in less
    parallel: int = 1  # each takes a processor from those who serve


class Intake:
    """Examines versions before they are accepted.

    Attributes:
        limits: What one examination may take.
        providers: Hardware for models that name none.
        command: The child process; it gets two more arguments.
        environment: Of which the child process gets what it needs to find its libraries.
    """

    def __init__(
        self,
        limits: IntakeLimits,
        *,
        providers: Sequence[str] = ("cpu",),
        command: Sequence[str] = (sys.executable, "-P", "-m", "serinus.runtime.intake_child"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._limits = limits
        self._providers = tuple(providers)
        self._command = tuple(command)
        inherited = os.environ if environment is None else environment
        self._environment = bare_environment(inherited)
        self._turns = asyncio.Semaphore(limits.parallel)

    async def examine(
        self,
        folder: Path,
        main: str,
        options: ModelOptions,
        goldens: Sequence[str] = (),
        tolerance: Tolerance | None = None,
    ) -> IntakeReport:
        """Load and warm up a version in a child process, and make its golden requests. Cancelling it kills the child.

        Args:
            folder: Holds copies of the version's files and nothing else: links are refused.
            main: The ONNX file's path below it.
            options: How it will be served.
            goldens: Golden requests, by their path below the folder.
            tolerance: How far their answers may be from the expected ones.

        Raises:
            ModelRejected: it cannot be served; the reason says why: what loading raises, or CRASHED, TOO_SLOW,
                TOO_MUCH_MEMORY.
            StoreUnavailable: it cannot be examined now.
        """
        async with self._turns:
            # Labels can be many, and nothing of them is loaded.
            loaded = options.model_copy(update={"labels": {}, "parameters": {}})
            request = await to_thread(self._request, folder, main, loaded, tuple(goldens), tolerance or Tolerance())
            ended = await self._child(request).ended()
        match _answer(ended, self._limits.timeout_s, request.memory_bytes):
            case IntakeReport() as report:
                return report
            case Refusal(message, reason, field):
                log.info("version refused", reason=reason, detail=message)
                raise ModelRejected(message, reason=reason, field=field)

    def _request(
        self, folder: Path, main: str, options: ModelOptions, goldens: tuple[str, ...], tolerance: Tolerance
    ) -> IntakeRequest:
        memory_bytes = self._limits.memory_bytes
        return IntakeRequest(
            folder=str(folder.absolute()),
            main=main,
            options=options,
            providers=self._providers,
            goldens=goldens,
            tolerance=tolerance,
            memory_bytes=_generous_bytes(folder) if memory_bytes is None else memory_bytes,
        )

    def _child(self, request: IntakeRequest) -> ChildProcess:
        # The parent's clock decides; this one is for a child whose parent has stopped.
        cpu_s = math.ceil(self._limits.timeout_s * max(1, request.options.intra_op_threads)) + 1
        return ChildProcess(
            (*self._command, str(os.getpid()), str(cpu_s)),
            request=REQUEST.dump_json(request),
            environment=self._environment,
            timeout_s=self._limits.timeout_s,
        )


def _answer(ended: Ended, timeout_s: float, memory_bytes: int) -> IntakeReport | Refusal:
    """What the child said, or what its end says."""
    # 1. killed by us; 2. killed by the system; 3. it answered; 4. it failed in a way that nobody foresaw
    if ended.end is End.TOO_SLOW or ended.code == -signal.SIGXCPU:
        return Refusal(f"loading and warming up takes more than {timeout_s:g} s", "TOO_SLOW")
    if ended.end is End.EXITED and ended.code == 0:
        try:
            return _shown(ANSWER.validate_json(ended.output))
        except ValidationError:
            pass
    log.warning("examination failed", end=ended.end.name, code=ended.code, detail=ascii(ended.last_words))
    if ended.is_out_of_memory:
        return too_much_memory(memory_bytes)
    if ended.end is End.EXITED and ended.code == -signal.SIGKILL:
        return Refusal(
            "the process that loaded it was killed by the system, most often for want of memory", "TOO_MUCH_MEMORY"
        )
    if ended.end is End.EXITED and ended.code < 0:
        return Refusal(f"the process that loaded it crashed ({_signal_name(-ended.code)})", "CRASHED")
    return Refusal("the process that loaded it failed without an answer", "CRASHED")


def _shown(answer: IntakeReport | Refusal) -> IntakeReport | Refusal:
    """The answer as callers may see it: a child that a model has taken over could write anything."""
    if isinstance(answer, IntakeReport):
        return answer
    return Refusal(as_sentence(answer.message), answer.reason[:64], answer.field[:128])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _generous_bytes(folder: Path) -> int:
    """Memory for any model that makes sense of files as large as those in the folder."""
    size_bytes = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    return _MEMORY_BYTES + _MEMORY_PER_BYTE * size_bytes
