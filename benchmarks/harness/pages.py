"""Memory of several processes together: pages that they share count once, as they take up the machine once."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ [0-9a-f]+ (?P<device>\S+) (?P<inode>\d+) *(?P<name>.*)")
_SIZE = re.compile(r"(?P<field>Rss|Anonymous): +(?P<kib>\d+) kB")
_KIB = 1 << 10


@dataclasses.dataclass(frozen=True, slots=True)
class Pages:
    """What one process holds.

    Attributes:
        own_bytes: Anonymous pages, which nobody else has: heaps, stacks, and pages of files that it has written to.
        file_bytes: Pages by file, as the kernel tells files apart; whoever maps the same file has the same pages.
    """

    own_bytes: int
    file_bytes: Mapping[str, int]

    @property
    def resident_bytes(self) -> int:
        """All of it: what is known as RSS."""
        return self.own_bytes + sum(self.file_bytes.values())


def read_pages(smaps: str) -> Pages:
    """What /proc/PID/smaps says.

    Raises:
        ValueError: the text is none.
    """
    own_bytes = 0
    file_bytes: dict[str, int] = {}
    for file, rss_bytes, anonymous_bytes in _mappings(smaps):
        own_bytes += anonymous_bytes
        if shared_bytes := rss_bytes - anonymous_bytes:
            file_bytes[file] = file_bytes.get(file, 0) + shared_bytes
    return Pages(own_bytes, file_bytes)


def _mappings(smaps: str) -> Iterator[tuple[str, int, int]]:
    """File, resident bytes and anonymous ones among them, of each mapping."""
    file, rss_bytes = "", 0
    for line in smaps.splitlines():
        if mapping := _MAPPING.fullmatch(line):
            # Files of the same name may be different ones: of memory, or one that has replaced another.
            file = f"{mapping['device']} {mapping['inode']}" if mapping["inode"] != "0" else mapping["name"]
        elif size := _SIZE.fullmatch(line):
            size_bytes = int(size["kib"]) * _KIB
            if size["field"] == "Rss":
                rss_bytes = size_bytes
            else:  # it follows Rss
                yield file, rss_bytes, size_bytes
        elif not re.match(r"\w+: ", line):
            raise ValueError(f"no line of smaps: {line[:64]!r}")


def counted_once(processes: Iterable[Pages]) -> int:
    """Bytes that the processes hold together: what each has for itself, and of each file the most that one has.

    Processes that have read different parts of a file hold a little more of it than that.
    """
    own_bytes = 0
    most: dict[str, int] = {}
    for pages in processes:
        own_bytes += pages.own_bytes
        for file, size_bytes in pages.file_bytes.items():
            most[file] = max(most.get(file, 0), size_bytes)
    return own_bytes + sum(most.values())


def pages_of(pids: Iterable[int], proc: Path = Path("/proc")) -> list[Pages]:
    """What each of the processes holds now.

    Raises:
        OSError: one of them is gone.
    """
    return [read_pages((proc / str(pid) / "smaps").read_text()) for pid in pids]
