"""Who the audit says has written."""

import pytest

from serinus.core.errors import InvalidInput
from serinus.transport.callers import actor_of
from tests.transport.fake_context import FakeContext


class From(FakeContext):
    """A call from somewhere."""

    def __init__(self, peer: str) -> None:
        super().__init__()
        self._peer = peer

    def peer(self) -> str:
        return self._peer


@pytest.mark.parametrize(
    ("peer", "actor"),
    [
        ("ipv4:127.0.0.1:50312", "anonymous@127.0.0.1"),
        ("ipv6:%5B::1%5D:50312", "anonymous@::1"),
        ("ipv6:[2001:db8::7]:443", "anonymous@2001:db8::7"),
        ("unix:/run/secret/serinus.sock", "anonymous@unix"),
        ("unix:", "anonymous@unix"),
        ("", "anonymous@unknown"),
    ],
)
def test_who_says_nothing_is_known_by_their_address(peer: str, actor: str):
    """Without the port, and without a path of this machine."""
    assert actor_of("", From(peer)) == actor  # type: ignore[arg-type]  # a fake


def test_who_says_who_they_are_is_believed():
    """There is nothing yet that could prove it."""
    assert actor_of("ann", From("ipv4:127.0.0.1:50312")) == "ann"  # type: ignore[arg-type]  # a fake


@pytest.mark.parametrize("said", ["a\nb", "x" * 257])
def test_what_would_hurt_the_audit_is_refused(said: str):
    """Whoever reads it reads lines."""
    with pytest.raises(InvalidInput) as refused:
        actor_of(said, FakeContext())  # type: ignore[arg-type]  # a fake
    assert refused.value.field == "actor"
