"""What a target may be, and what it stands for."""

import pytest

from serinus_client.targets import Address, joined, replicas_in, resolved


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("a:1", ("a:1",)),
        ("a:1,b:2", ("a:1", "b:2")),
        (" a:1 , b:2, a:1", ("a:1", "b:2")),
        (["a:1", "b:2"], ("a:1", "b:2")),
        ("dns:///a:1,dns:///b:1", ("dns:///a:1", "dns:///b:1")),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", ("ipv4:10.0.0.1:1,10.0.0.2:1",)),
        ("unix:/tmp/a,b", ("unix:/tmp/a,b",)),
    ],
)
def test_the_replicas_of_a_target(target, expected):
    """Each once, in order."""
    assert replicas_in(joined(target)) == expected


@pytest.mark.parametrize("target", ["", "a:1,", ",", []])
def test_a_target_that_names_nothing_is_refused(target):
    """With what was written."""
    with pytest.raises(ValueError, match="expected host:port, or several with commas between them, got"):
        replicas_in(joined(target))


@pytest.mark.parametrize(
    ("replica", "expected"),
    [
        ("localhost:7", (Address("localhost:7"),)),
        ("dns:///127.0.0.1:7", (Address("ipv4:127.0.0.1:7", "127.0.0.1"),)),
        ("dns:127.0.0.1:7", (Address("ipv4:127.0.0.1:7", "127.0.0.1"),)),
        ("dns:///[::1]:7", (Address("ipv6:[::1]:7", "::1"),)),
    ],
)
async def test_a_name_is_resolved_where_that_is_asked_for(replica, expected):
    """The name goes with each address, because certificates show it."""
    assert await resolved(replica) == expected
