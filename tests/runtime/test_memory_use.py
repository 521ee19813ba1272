"""How much memory there is and is used, read from made-up control groups."""

from pathlib import Path

import pytest

from serinus.runtime.memory import memory_use
from tests.runtime.test_cpu import tree

MIB = 1 << 20
V2 = {
    "memory.current": f"{700 * MIB}\n",
    "memory.max": f"{1000 * MIB}\n",
    "memory.stat": "anon 1\ninactive_file 1048576\nactive_file 104857600\n",
}
V1 = {
    "memory/memory.usage_in_bytes": f"{50 * MIB}",
    "memory/memory.limit_in_bytes": f"{100 * MIB}",
    "memory/memory.stat": "total_inactive_file 0",
}


@pytest.mark.parametrize(
    ("own", "files", "expected_mib"),
    [
        pytest.param("0::/\n", V2, (599, 1000), id="v2, without pages of files"),
        pytest.param("0::/\n", {**V2, "memory.max": "max\n"}, (8, 108), id="v2, no limit"),
        pytest.param(
            "0::/a\n",
            {**V2, "a/memory.current": f"{90 * MIB}", "a/memory.max": f"{100 * MIB}"},
            (90, 100),
            id="v2, the group that is nearest to its limit",
        ),
        pytest.param("3:memory:/\n", V1, (50, 100), id="v1"),
        pytest.param(
            "3:memory:/\n", {**V1, "memory/memory.limit_in_bytes": str((1 << 63) - 4096)}, (8, 108), id="v1, no limit"
        ),
        pytest.param("0::/\n", {}, (8, 108), id="nothing"),
        pytest.param("0::/\n", {"memory.max": "nonsense"}, (8, 108), id="nonsense"),
    ],
)
def test_the_group_nearest_to_its_limit_counts(tmp_path: Path, own: str, files: dict[str, str], expected_mib):
    """Or else what the process has, and what the machine has left."""
    root = tree(tmp_path / "cgroup", files)
    proc = tree(
        tmp_path / "proc",
        {
            "self/cgroup": own,
            "self/statm": "9999 2048 1 1 0 1 0",
            "meminfo": "MemTotal: 999999 kB\nMemAvailable:   102400 kB\n",
        },
    )
    used, limit = memory_use(root, proc / "self" / "cgroup", proc)
    assert (used / MIB, limit / MIB) == expected_mib


def test_a_machine_that_says_nothing(tmp_path: Path):
    """Has no limit, rather than one of 0 bytes."""
    assert memory_use(tmp_path, tmp_path / "none", tmp_path) == (0, 0)


def test_this_machine_says_something():
    """Files that the kernel writes, as it writes them."""
    used, limit = memory_use()
    assert 1 * MIB < used < limit
