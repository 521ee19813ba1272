"""Finds files of many kinds on this machine, without looking at all of it."""

import collections
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_SYSTEM = ("/usr/share", "/usr/lib", "/usr/include", "/usr/bin")
_WAITING_FOLDERS = 50_000


def usual_roots() -> list[Path]:
    """Where programs keep files that nobody minds being read: this Python, and the system's shared files."""
    candidates = [sys.prefix, sysconfig.get_path("stdlib"), *_SYSTEM]
    return [Path(root) for root in dict.fromkeys(candidates) if Path(root).is_dir()]


def walk(roots: Sequence[Path], *, most_entries: int) -> Iterator[Path]:
    """Regular files below `roots`, a folder of each root in turn, shallow ones first; the same ones each time.

    Args:
        roots: Where to look; links in them are not followed.
        most_entries: Stops after so many files, links and folders were seen.
    """
    queues = [collections.deque([root], maxlen=_WAITING_FOLDERS) for root in roots]
    seen = 0
    while any(queues):
        for queue in queues:
            if not queue:
                continue
            for entry in _entries(queue.popleft()):
                seen += 1
                if seen > most_entries:
                    return
                if entry.is_dir(follow_symlinks=False):
                    queue.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)


def choose(
    files: Iterable[Path], read: Callable[[Path], T | None], *, wanted: int, most_per_suffix: int
) -> list[tuple[Path, T]]:
    """The first files of each suffix that `read` makes something of, up to `wanted` in all.

    Where there are too few suffixes for that, more files of the ones there are.

    Args:
        files: Candidates.
        read: What is wanted of a file; None or OSError where it has none.
        wanted: Most files.
        most_per_suffix: Most files of one suffix, as long as others can be found.
    """
    chosen: list[tuple[Path, T]] = []
    spare: list[Path] = []
    counts: collections.Counter[str] = collections.Counter()
    for file in files:
        if len(chosen) >= wanted:
            return chosen
        suffix = kind_of_name(file)
        if counts[suffix] >= most_per_suffix:
            if len(spare) < wanted:
                spare.append(file)
        elif (content := _try(read, file)) is not None:
            counts[suffix] += 1
            chosen.append((file, content))
    for file in spare:
        if len(chosen) >= wanted:
            break
        if (content := _try(read, file)) is not None:
            chosen.append((file, content))
    return chosen


def kind_of_name(file: Path) -> str:
    """The suffix, without the numbers behind it that versions leave: ".so" of libz.so.1.3.1."""
    return next((suffix for suffix in reversed(file.suffixes) if not suffix[1:].isdigit()), "").lower()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []  # ours to look at or not, and there are others


def _try(read: Callable[[Path], T | None], file: Path) -> T | None:
    try:
        return read(file)
    except OSError:
        return None
