"""Folders for work in progress, as a staging area gives them."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path


@contextlib.asynccontextmanager
async def scratch(folder: Path) -> AsyncIterator[Path]:
    """An empty folder below `folder`; gone afterwards."""
    work = folder / "scratch"
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work)
