"""What processes use, read from a folder that looks like the kernel's."""

import os

import pytest

from serinus.bench.server_use import ProcessTree, Use

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def process(proc, pid, parent, *times, pages=0, name="serinus"):
    """`times` are user, system, and those of children that have ended."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(
        f"{pid} ({name}) S {parent} " + "0 " * 9 + " ".join(map(str, times)) + " 20 0"
    )
    (proc / str(pid) / "statm").write_text(f"999 {pages} 1 1 0 1 0")


def test_a_supervisor_and_its_workers_are_one_server(tmp_path):
    """Grandchildren too; what others on the machine do is not counted."""
    (tmp_path / "self").mkdir()
    process(tmp_path, 10, 1, 1, 2, 3, 4, pages=5)
    process(tmp_path, 11, 10, 10, 20, 0, 0, pages=6, name="a) odd (name")
    process(tmp_path, 12, 11, 100, 200, 0, 0, pages=7)
    process(tmp_path, 13, 1, 9999, 9999, 0, 0, pages=9999)
    tree = ProcessTree(10, proc=tmp_path)
    assert tree.pids() == [10, 11, 12]
    assert tree.use() == Use(340 / TICKS, 18 * PAGE)


def test_two_looks_make_a_difference():
    """Of the processor time; memory is what there is at the later one."""
    assert Use(5.0, 100).since(Use(3.5, 200)) == Use(1.5, 100)


def test_a_process_that_is_gone_is_an_error(tmp_path):
    """Not a server that costs nothing."""
    with pytest.raises(ProcessLookupError, match="there is no process 10"):
        ProcessTree(10, proc=tmp_path).use()


def test_this_process_has_used_something():
    """The real folder has the format that is read."""
    use = ProcessTree(os.getpid()).use()
    assert use.cpu_s > 0
    assert use.memory_bytes > 1 << 20
