"""What connections leave for everything else."""

import pytest

from serinus.transport.connection_limit import NO_LIMIT, most_connections


@pytest.mark.parametrize(
    ("limit", "open_files", "most"),
    [(1 << 20, 76, 786_375), (1024, 24, 750), (64, 24, 16), (64, 60, 1), (20, 30, 1), (-1, 24, NO_LIMIT)],
)
def test_connections_leave_a_quarter_and_never_fewer_than_twenty_four(limit: int, open_files: int, most: int):
    """Unless that would leave no connection at all: one is always let in."""
    assert most_connections(limit, open_files) == most
