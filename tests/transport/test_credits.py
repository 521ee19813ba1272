"""The window of a stream: what it becomes after what its calls met."""

import pytest

from serinus.core.predictor import Response
from serinus.core.version import ModelVersion, Version
from serinus.transport.credits import START, CreditWindow, Experience, next_window

MOST = 4096


def response(*, queue_s: float, compute_s: float, batch_rows: int = 1) -> Response:
    return Response({}, ModelVersion("m", Version(1), 1), queue_s=queue_s, compute_s=compute_s, batch_rows=batch_rows)


@pytest.mark.parametrize(
    ("window", "seen", "expected"),
    [
        pytest.param(1024, Experience(answered=100, most_open=50), 1024, id="calm changes nothing"),
        pytest.param(1024, Experience(answered=100, most_open=1000), 1280, id="used up and quick grows"),
        pytest.param(100, Experience(answered=100, most_open=80), 125, id="used up by one model, with four fifths"),
        pytest.param(100, Experience(answered=100, most_open=74), 100, id="not used up"),
        pytest.param(8, Experience(answered=100, most_open=7), 10, id="grows in steps of its own size"),
        pytest.param(MOST, Experience(answered=100, most_open=MOST), MOST, id="never above the most"),
        pytest.param(
            1024, Experience(answered=80, refused=20, most_open=800), 600, id="refusals shrink what was in use"
        ),
        pytest.param(1024, Experience(answered=95, refused=5, most_open=700), 1024, id="few refusals are no overload"),
        pytest.param(5, Experience(refused=100, most_open=5), 4, id="never below a few calls"),
        pytest.param(
            100, Experience(answered=10, refused=10, most_open=100, batch_rows=32), 100, id="never below a few batches"
        ),
        pytest.param(64, Experience(refused=100, most_open=64, batch_rows=32), 64, id="a refusal never widens it"),
        pytest.param(
            80,
            Experience(answered=10, queue_s=3.0, compute_s=0.5, most_open=80),
            70,
            id="waiting for many runs shrinks",
        ),
        pytest.param(
            80,
            Experience(answered=10, queue_s=1.5, compute_s=0.5, most_open=40),
            80,
            id="waiting for a few runs is fine",
        ),
        pytest.param(
            1024,
            Experience(answered=100, queue_s=0.9, compute_s=0.01, most_open=1000),
            1280,
            id="a message's calls wait for each other",
        ),
    ],
)
def test_what_calls_met_sets_the_window(window: int, seen: Experience, expected: int):
    """A pure rule."""
    assert next_window(window, seen, most=MOST) == expected


def test_a_window_is_looked_at_once_enough_has_ended():
    """Sixteen outcomes and a moment, or a longer moment; nothing that was noted counts twice."""
    window = CreditWindow(most=MOST, now=0.0)
    window.opened(START)
    assert not window.review(5.0, open_calls=START)  # nothing has ended
    for _ in range(15):
        window.answered(response(queue_s=0.0, compute_s=0.01))
    assert not window.review(0.2, open_calls=START)
    window.answered(response(queue_s=0.0, compute_s=0.01))
    assert window.review(0.2, open_calls=3)
    assert window.size == START * 5 // 4
    for _ in range(4):
        window.answered(response(queue_s=1.0, compute_s=0.01))
    assert not window.review(0.3, open_calls=3)
    assert window.review(0.5, open_calls=3)
    assert window.size == 4


def test_a_refusal_or_two_say_nothing_by_themselves():
    """They count with what ends afterwards, however long that takes."""
    window = CreditWindow(most=MOST, now=0.0)
    for second in range(1, 16):
        window.opened(1)
        window.refused()
        assert not window.review(float(second), open_calls=1)
    assert window.size == START
    window.refused()
    assert window.review(16.0, open_calls=1)
    assert window.size == 4
    lucky = CreditWindow(most=MOST, now=0.0)
    lucky.opened(1)
    lucky.refused()
    assert not lucky.review(1.0, open_calls=1)
    for _ in range(15):
        lucky.answered(response(queue_s=0.0, compute_s=0.01))
    assert not lucky.review(2.0, open_calls=1)
    assert lucky.size == START


def test_a_flood_of_refusals_leaves_the_calls_of_four_runs():
    """As the last runs that answered were, though nothing was answered since; and what is answered again widens it."""
    window = CreditWindow(most=MOST, now=0.0)
    for _ in range(16):
        window.answered(response(queue_s=0.0, compute_s=0.01, batch_rows=8))
    window.review(1.0, open_calls=0)
    sizes = []
    for look in range(2, 22):
        window.opened(window.size)
        for _ in range(300):
            window.refused()
        window.review(float(look), open_calls=window.size)
        sizes.append(window.size)
    assert sizes[:3] == [768, 576, 432]
    assert min(sizes) == sizes[-1] == 32
    for _ in range(16):
        window.answered(response(queue_s=0.0, compute_s=0.01, batch_rows=2))
    assert window.review(22.0, open_calls=window.size)
    assert window.size == 40
    window.opened(40)
    for _ in range(300):
        window.refused()
    assert window.review(23.0, open_calls=window.size)
    assert window.size == 30  # on its way to runs of two


def overloaded(window: CreditWindow, *, capacity: int, run_s: float, looks: int) -> list[int]:
    """Sizes of a window whose client always fills it, in front of a model with room for `capacity` calls."""
    sizes = []
    for look in range(1, looks + 1):
        window.opened(window.size)
        for _ in range(max(0, window.size - capacity)):
            window.refused()
        for _ in range(16):
            waiting = min(window.size, capacity)
            window.answered(response(queue_s=waiting * run_s / 2, compute_s=run_s, batch_rows=1))
        window.review(look * 0.1, open_calls=window.size)
        sizes.append(window.size)
    return sizes


def test_a_client_that_offers_too_much_is_brought_down_to_what_there_is_room_for():
    """From the generous start, in a second or two; and it stays there."""
    sizes = overloaded(CreditWindow(most=MOST, now=0.0), capacity=64, run_s=0.02, looks=40)
    assert max(sizes[20:]) <= 64
    assert min(sizes) >= 4
