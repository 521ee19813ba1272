"""When what runs cost on one machine says something about another."""

from pathlib import Path

from serinus.runtime.machine import machine_fingerprint


def test_equal_machines_are_equal(tmp_path: Path):
    """And any difference that may change costs makes another one."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A\nprocessor\t: 1\nmodel name\t: A\n")
    one = machine_fingerprint(threads=2, providers=["cpu"], cpuinfo=cpuinfo)
    assert one == machine_fingerprint(threads=2, providers=["cpu"], cpuinfo=cpuinfo)
    others = {
        machine_fingerprint(threads=4, providers=["cpu"], cpuinfo=cpuinfo),
        machine_fingerprint(threads=2, providers=["cuda", "cpu"], cpuinfo=cpuinfo),
        machine_fingerprint(threads=2, providers=["cpu"], cpuinfo=tmp_path / "none"),
    }
    cpuinfo.write_text("model name\t: B\n")
    others.add(machine_fingerprint(threads=2, providers=["cpu"], cpuinfo=cpuinfo))
    assert len(others | {one}) == 5
