"""Our own server with the models to measure, told of each only what its file does not say."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.processes import ServerProcess, serinus_server
from models.case import Case


@contextlib.contextmanager
def serving(cases: Sequence[Case], flags: Sequence[str]) -> Iterator[ServerProcess]:
    """`serinus serve` with these models and nothing tuned."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "serinus.toml")
        path.write_text("\n".join(case.table() for case in cases))
        with serinus_server(flags=("--config", str(path), *flags)) as server:
            yield server
