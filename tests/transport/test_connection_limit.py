"""What connections leave for everything else."""

import pytest

from serinus.transport.connection_limit import NO_LIMIT, most_connections, most_http_connections


@pytest.mark.parametrize(
    ("limit", "open_files", "most"),
    [(1 << 20, 76, 786_375), (1024, 24, 750), (64, 24, 16), (64, 60, 1), (20, 30, 1), (-1, 24, NO_LIMIT)],
)
def test_connections_leave_a_quarter_and_never_fewer_than_twenty_four(limit: int, open_files: int, most: int):
    """Unless that would leave no connection at all: one is always let in."""
    assert most_connections(limit, open_files) == most


@pytest.mark.parametrize(
    ("limit", "open_files", "most"),
    [(1 << 20, 76, 512), (1024, 24, 83), (64, 24, 8), (64, 60, 8), (20, 30, 8), (-1, 24, 512)],
)
def test_the_http_port_gets_a_third_of_what_is_left(limit: int, open_files: int, most: int):
    """Eight connections at least, and never a crowd."""
    assert most_http_connections(limit, open_files) == most


@pytest.mark.parametrize(("limit", "open_files"), [(64, 24), (1024, 24), (1 << 20, 76)])
def test_both_ports_together_leave_files_for_the_rest(limit: int, open_files: int):
    """Full as they may be, sixteen files at least are free."""
    connections = most_connections(limit, open_files) + most_http_connections(limit, open_files)
    assert limit - open_files - connections >= 16
