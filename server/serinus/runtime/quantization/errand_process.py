"""Has errands done by child processes, one process each, and says in sentences what became of those that died."""

import math
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from serinus.config.models import ModelOptions
from serinus.runtime.child_process import ChildProcess, End, Ended, as_sentence, bare_environment
from serinus.runtime.quantization.errands import ANSWER, ERRAND, Answer, Build, Errand, Failure, Measure, Prepare
from serinus.telemetry.logs import get_logger

log = get_logger("serinus.quantization")


class ErrandProcesses:
    """Child processes for the errands of one workbench.

    Args:
        bench: The workbench; temporary files of tools go there, too.
        options: How the server would load the model.
        providers: Hardware for a model that names none.
        command: The child process; it gets two more arguments.
        environment: Of which it gets what it needs to find its libraries.
        memory_bytes: Most that one may take.
    """

    def __init__(
        self,
        bench: Path,
        options: ModelOptions,
        providers: tuple[str, ...],
        command: Sequence[str],
        environment: Mapping[str, str],
        memory_bytes: int,
    ) -> None:
        self._bench = bench.absolute()
        # Labels can be many, and nothing of them is loaded.
        self._options = options.model_copy(update={"labels": {}, "parameters": {}})
        self._providers = providers
        self._command = command
        self._environment = bare_environment(environment) | {"TMPDIR": str(self._bench)}
        self._memory_bytes = memory_bytes

    async def ask(self, work: Prepare | Build | Measure, timeout_s: float) -> Answer:
        """What a child process says to one errand; a Failure without a reason if it dies. Cancelling it kills it."""
        errand = Errand(self._bench, self._options, self._providers, self._memory_bytes, work)
        # The parent's clock decides; this one is for a child whose parent has stopped.
        cpu_s = math.ceil(timeout_s * max(1, self._options.intra_op_threads)) + 1
        child = ChildProcess(
            (*self._command, str(os.getpid()), str(cpu_s)),
            request=ERRAND.dump_json(errand),
            environment=self._environment,
            timeout_s=timeout_s,
        )
        return _answer(await child.ended(), timeout_s, self._memory_bytes)


def _answer(ended: Ended, timeout_s: float, memory_bytes: int) -> Answer:
    # 1. killed by us; 2. it answered; 3. killed by the system; 4. it failed in a way that nobody foresaw
    if ended.end is End.TOO_SLOW or ended.code == -signal.SIGXCPU:
        return Failure(f"it takes more than {timeout_s:.3g} s")
    if ended.end is End.EXITED and ended.code == 0:
        try:
            return _shown(ANSWER.validate_json(ended.output))
        except ValidationError:
            pass
    log.warning("quantization step failed", end=ended.end.name, code=ended.code, detail=ascii(ended.last_words))
    if ended.is_out_of_memory or ended.code == -signal.SIGKILL:
        return Failure(f"it takes more than {memory_bytes >> 20} MiB of memory, or more than the machine has")
    if ended.code < 0:
        return Failure(f"the process that tried it crashed ({signal.Signals(-ended.code).name})")
    return Failure("the process that tried it failed without an answer")


def _shown(answer: Answer) -> Answer:
    """The answer as callers may see it."""
    if not isinstance(answer, Failure):
        return answer
    return Failure(as_sentence(answer.message), answer.reason, answer.field)
