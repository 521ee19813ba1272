"""What Python says when the system gives no further thread."""

import threading

import pytest

from serinus.core.threads import is_out_of_threads
from tests.support.no_threads import no_threads


def test_it_is_known_by_what_python_really_says():
    """Should another Python say it otherwise, this is where it shows."""
    with no_threads(), pytest.raises(RuntimeError) as caught:
        threading.Thread(target=print).start()
    assert is_out_of_threads(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError("can't start new thread")], ids=repr)
def test_nothing_else_is_taken_for_it(error: Exception):
    """Least of all a bug of ours."""
    assert not is_out_of_threads(error)
