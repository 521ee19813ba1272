"""The processors that a process may use, read from made-up control groups."""

from pathlib import Path

import pytest

from serinus.runtime.cpu import cpu_quota


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5, id="v2, a container's own root"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, 8.0, id="v2, no limit"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0, id="v2, parent"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5, id="v2, own"),
        pytest.param("0::/host/path\n", {"cpu.max": "300000 100000"}, 3.0, id="v2, the host's path"),
        pytest.param("0::/../../a\n", {"a/cpu.max": "300000 100000"}, 3.0, id="v2, a path above the root"),
        pytest.param(
            "4:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "250000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            2.5,
            id="v1",
        ),
        pytest.param(
            "1:cpu:/\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000", "unified/cpu.max": "100000 100000"},
            1.0,
            id="both side by side",
        ),
        pytest.param("9:memory:/\n", {}, 8.0, id="no cpu group"),
        pytest.param("nonsense\n", {"cpu.max": "nonsense"}, 8.0, id="nonsense"),
    ],
)
def test_the_tightest_group_counts(tmp_path, own, files, expected):
    """The limit is the smallest of the group's own and those above it."""
    root = tree(tmp_path / "cgroup", files)
    own_cgroup = tmp_path / "own"
    own_cgroup.write_text(own)
    assert cpu_quota(root, own_cgroup, usable_cpus=8) == expected


def test_affinity_below_the_quota_counts(tmp_path):
    """A process that is pinned to one processor gets one, whatever its group allows."""
    root = tree(tmp_path / "cgroup", {"cpu.max": "400000 100000"})
    assert cpu_quota(root, tmp_path / "missing", usable_cpus=1) == 1.0


def test_this_machine_has_some_processor():
    """The defaults read the machine at hand."""
    assert cpu_quota() > 0.0
