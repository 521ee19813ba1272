"""Sums that do not fall because a process leaves, hangs or dies."""

from serinus.workers.kept_counts import MOST_SUBJECTS, KeptCounts


def test_processes_that_do_not_answer_count_as_they_were_and_the_dead_for_ever():
    """Of those that answer nothing is missing."""
    kept = KeptCounts()
    for pid, calls in ((1, 1), (2, 10), (3, 100)):
        kept.seen(pid, {"m": {"calls": calls, "rows": 2 * calls}})
    assert kept.missing({1, 2, 3}) == {}
    assert kept.missing({1, 3}) == {"m": {"calls": 10, "rows": 20}}
    kept.gone(2)
    kept.gone(3)
    kept.gone(9)  # never seen
    kept.seen(4, {"m": {"calls": 5}})
    assert kept.missing({1, 4}) == {"m": {"calls": 110, "rows": 220}}
    assert repr(kept) == "<KeptCounts [2 processes, 1 subjects of others]>"


def test_a_process_that_has_ended_is_not_counted_again():
    """Its last answer may be read after its end was."""
    kept = KeptCounts()
    kept.seen(1, {"m": {"calls": 1}})
    kept.gone(1)
    kept.seen(1, {"m": {"calls": 2}})
    kept.seen(2, {"m": {"calls": 0}})
    assert kept.missing({2}) == {"m": {"calls": 1}}


def test_a_process_with_the_number_of_one_that_has_ended_is_heard():
    """The system gives numbers again; what the first one counted stays."""
    kept = KeptCounts()
    kept.seen(1, {"m": {"calls": 1}})
    kept.gone(1)
    assert kept.has_ended(1)
    kept.began(1)
    kept.began(2)  # as most do
    assert not kept.has_ended(1)
    kept.seen(1, {"m": {"calls": 10}})
    kept.seen(2, {"m": {"calls": 0}})
    assert kept.missing({2}) == {"m": {"calls": 11}}


def test_what_nobody_has_any_more_is_not_missing():
    """A version that is unloaded shows no counts; it still has them, should it be loaded again."""
    kept = KeptCounts()
    kept.seen(1, {"m": {"calls": 1}, "n": {"calls": 2}})
    kept.gone(1)
    kept.seen(2, {"n": {"calls": 0}})
    assert kept.missing({2}) == {"n": {"calls": 2}}
    kept.seen(2, {"m": {"calls": 0}})
    assert kept.missing({2}) == {"m": {"calls": 1}}


def test_the_dead_are_remembered_within_bounds():
    """Those versions are forgotten whose last worker died longest ago."""
    kept = KeptCounts()
    for pid in range(MOST_SUBJECTS + 2):
        kept.seen(pid, {f"m{max(1, pid)}": {"calls": 1}})
        kept.gone(pid)
    kept.seen(-1, {f"m{number}": {"calls": 0} for number in (1, 2, MOST_SUBJECTS + 1)})
    assert kept.missing({-1}) == {"m2": {"calls": 1}, f"m{MOST_SUBJECTS + 1}": {"calls": 1}}
