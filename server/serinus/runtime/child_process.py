"""Runs a child process to its end: bounded in time and in what it says, and nothing of it is left."""

import asyncio
import contextlib
import dataclasses
import enum
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from serinus.core.errors import StoreUnavailable

_CHUNK_BYTES = 1 << 16
_LONGEST_SENTENCE = 512
_LOGGED_CHARACTERS = 2000
# What libraries need to be found; everything else of the environment may hold secrets.
_INHERITED = (
    "PYTHONPATH",
    "ORT_DISABLE_TELEMETRY",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "NVIDIA_VISIBLE_DEVICES",
)
_FIXED = {"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def bare_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What a child process needs of `inherited` to find its libraries, and what keeps it to one thread."""
    return {name: inherited[name] for name in _INHERITED if name in inherited} | _FIXED


def as_sentence(message: str) -> str:
    """What a child process says, fit to be shown: one that a model has taken over could write anything."""
    return "".join(character if character.isprintable() else "?" for character in message)[:_LONGEST_SENTENCE]


class End(enum.Enum):
    """Why a child process ended."""

    EXITED = "by itself, or through a signal"
    TOO_SLOW = "killed: its time was over"
    TOO_TALKATIVE = "killed: it wrote more than it may"
    STOPPED = "killed: nobody waits for it any more"


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """A child process that is no more.

    Attributes:
        end: Why.
        code: What it exited with; the negative number of a signal that killed it.
        output: What it wrote to its standard output.
        errors: The last of what it wrote to its standard error.
    """

    end: End
    code: int
    output: bytes
    errors: bytes

    @property
    def last_words(self) -> str:
        """The end of its standard error, for the log."""
        return self.errors.decode(errors="replace")[-_LOGGED_CHARACTERS:]

    @property
    def is_out_of_memory(self) -> bool:
        """Whether its last words are about memory."""
        return "bad_alloc" in self.last_words or "MemoryError" in self.last_words


class ChildProcess:
    """One child process: started by `run`, which returns when it is gone.

    It is spawned, never forked; leads a process group of its own, all of which ends with it; and starts in an empty
    folder, which is deleted in the end.

    Attributes:
        command: Program and arguments.
        request: What it reads from its standard input.
        environment: All its variables.
        timeout_s: It is killed then.
        most_output_bytes: It is killed if it writes more; of its standard error so much is kept.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        request: bytes,
        environment: Mapping[str, str],
        timeout_s: float,
        most_output_bytes: int = 1 << 20,
    ) -> None:
        self._command = command
        self._request = request
        self._environment = environment
        self._timeout_s = timeout_s
        self._most_output_bytes = most_output_bytes
        self._output: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._lock = threading.Lock()  # of `_process`: one that is reaped must never be sent a signal
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    async def ended(self) -> Ended:
        """Run it; whoever is cancelled here has killed it.

        Raises:
            StoreUnavailable: it cannot be started now: the system has no room for a process or its folder.
        """
        # A thread of its own: it must outlive the child, which the system kills together with the thread that made it.
        thread = ThreadPoolExecutor(1, thread_name_prefix="child")
        try:
            running = asyncio.get_running_loop().run_in_executor(thread, self.run)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                self.stop()
                await asyncio.wait((running,))
                raise
            except OSError as error:
                raise StoreUnavailable("the server cannot start a process to do this in now") from error
        finally:
            thread.shutdown(wait=False)

    def run(self) -> Ended:
        """Run it on the calling thread.

        Raises:
            OSError: it cannot be started.
        """
        with tempfile.TemporaryDirectory(prefix=f"serinus-child-{os.getpid()}-", ignore_cleanup_errors=True) as folder:
            deadline = time.monotonic() + self._timeout_s
            with self._lock:
                if self._stopped.is_set():
                    return Ended(End.STOPPED, -signal.SIGKILL, b"", b"")
                self._process = process = self._start(folder)
            try:
                end = self._watch(process, deadline)
            finally:
                self._finish(process)
        end = End.STOPPED if self._stopped.is_set() else end
        return Ended(end, process.returncode, bytes(self._output["stdout"]), bytes(self._output["stderr"]))

    def stop(self) -> None:
        """Kill it, from any thread; `run` returns soon after."""
        with self._lock:
            self._stopped.set()
            if self._process is not None:
                _kill_group(self._process)

    def _start(self, folder: str) -> subprocess.Popen[bytes]:
        # Memory in place of a pipe: it cannot fill up while nobody reads.
        with os.fdopen(os.memfd_create("request"), "wb+") as request:
            request.write(self._request)
            request.seek(0)
            return subprocess.Popen(  # noqa: S603 - the command is the caller's, never a client's
                self._command,
                stdin=request,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=dict(self._environment),
                start_new_session=True,
            )

    def _watch(self, process: subprocess.Popen[bytes], deadline: float) -> End:
        """Collect what it says until it has exited or must be killed."""
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as files:
            exited = os.pidfd_open(process.pid)
            files.callback(os.close, exited)
            selector.register(exited, selectors.EVENT_READ, "exited")
            for name in self._output:
                pipe = files.enter_context(getattr(process, name))
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
            while (remaining_s := deadline - time.monotonic()) > 0:
                ready = {key.data: key for key, _ in selector.select(remaining_s)}
                has_exited = ready.pop("exited", None) is not None
                for name, key in ready.items():
                    if not self._collect(name, key.fd):
                        selector.unregister(key.fileobj)
                if len(self._output["stdout"]) > self._most_output_bytes:
                    return End.TOO_TALKATIVE
                # What was written before the exit has been in the pipes: only when they hold no more is it all.
                if has_exited and not ready:
                    return End.EXITED
        return End.TOO_SLOW

    def _collect(self, name: str, file: int) -> bool:
        """Take what is there; whether more can come."""
        try:
            chunk = os.read(file, _CHUNK_BYTES)
        except BlockingIOError:
            return True
        kept = self._output[name]
        kept += chunk
        if name == "stderr":
            del kept[: -self._most_output_bytes]
        return bool(chunk)

    def _finish(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of its group, and reap it."""
        with self._lock:
            # Before reaping: until then the group's number cannot become another's.
            _kill_group(process)
            self._process = None
        process.wait()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
