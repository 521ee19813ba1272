"""Memory of processes that share pages."""

from pathlib import Path

import pytest

from harness.pages import Pages, counted_once, pages_of, read_pages

LIBRARY = "7f00-7f10 r-xp 00000000 fe:00 4711                       /usr/lib/libbig.so (deleted)"
LIBRARY_DATA = "7f10-7f20 rw-p 00010000 fe:00 4711                       /usr/lib/libbig.so (deleted)"
SHARED = "7f20-7f30 rw-s 00000000 00:01 7                          /memfd:record (deleted)"
HEAP = "5500-5600 rw-p 00000000 00:00 0                          [heap]"
NAMELESS = "7e00-7e10 rw-p 00000000 00:00 0 "
KERNEL = "7fff-8000 r-xp 00000000 00:00 0                          [vdso]"


def mapping(first_line: str, rss_kib: int, anonymous_kib: int) -> str:
    """One mapping as the kernel writes it, with some of the fields that nobody needs."""
    return (
        f"{first_line}\nSize:               9999 kB\nKernelPageSize:        4 kB\nRss:            {rss_kib:8} kB\n"
        f"Pss:                   1 kB\nPss_Dirty:             1 kB\nAnonymous:      {anonymous_kib:8} kB\n"
        "LazyFree:              0 kB\nTHPeligible:           0\nProtectionKey:         0\nVmFlags: rd mr mw me sd \n"
    )


def test_pages_of_files_are_told_from_those_of_the_process():
    """A page of a file that was written to is the process's own."""
    text = (
        mapping(HEAP, 100, 100)
        + mapping(LIBRARY, 30, 0)
        + mapping(LIBRARY_DATA, 8, 5)
        + mapping(SHARED, 4, 0)
        + mapping(NAMELESS, 50, 50)
        + mapping(KERNEL, 4, 0)
    )
    pages = read_pages(text)
    assert pages == Pages(155 << 10, {"fe:00 4711": 33 << 10, "00:01 7": 4 << 10, "[vdso]": 4 << 10})
    assert pages.resident_bytes == 196 << 10


def test_what_processes_share_counts_once(tmp_path: Path):
    """Of each file the most that one of them has; what is their own adds up."""
    other_file = LIBRARY.replace("4711", "4712")  # of the same name
    for pid, text in {
        1: mapping(HEAP, 100, 100) + mapping(LIBRARY, 30, 0),
        2: mapping(HEAP, 10, 10) + mapping(LIBRARY, 40, 0) + mapping(other_file, 5, 0),
        3: "",
    }.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "smaps").write_text(text)
    assert counted_once(pages_of([1, 2, 3], tmp_path)) == (100 + 10 + 40 + 5) << 10
    assert counted_once(pages_of([1], tmp_path)) == 130 << 10
    assert counted_once([]) == 0


@pytest.mark.parametrize("text", ["Permission denied", "{}", "5500-5600 rw-p"])
def test_what_is_no_smaps_is_refused(text: str):
    """Rather than counted as nothing."""
    with pytest.raises(ValueError, match="no line of smaps"):
        read_pages(text)


def test_a_process_that_is_gone_is_no_process_without_memory(tmp_path: Path):
    """A figure without it would be too good."""
    with pytest.raises(FileNotFoundError):
        pages_of([1], tmp_path)
