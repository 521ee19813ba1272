"""How long a worker's place stays empty after a death."""

from serinus.workers.restarts import RestartPolicy, Streak

POLICY = RestartPolicy(first_wait_s=0.5, longest_wait_s=3)


def waits(*lives_s: float) -> list[float]:
    """What is waited before the first start, and after each of these lives."""
    streak, found = Streak(), [Streak().wait_s(POLICY)]
    for lived_s in lives_s:
        streak = streak.after_death(POLICY, lived_s=lived_s)
        found.append(streak.wait_s(POLICY))
    return found


def test_the_wait_doubles_up_to_the_longest():
    """A worker that cannot live must not keep a core busy with starting it."""
    assert waits(0, 0, 0, 0, 0) == [0, 0.5, 1, 2, 3, 3]


def test_a_long_life_makes_the_next_wait_short_again():
    """An accident after days is a first death."""
    assert waits(0, 0, 3.1, 0) == [0, 0.5, 1, 0.5, 1]


def test_a_life_as_long_as_the_longest_wait_proves_nothing_yet():
    """Else a worker that dies with that period would be started each time at once."""
    assert waits(0, 3, 3) == [0, 0.5, 1, 2]


def test_years_of_deaths_are_survived():
    """The doubling has an end of its own."""
    streak = Streak(deaths=100_000)
    assert streak.after_death(POLICY, lived_s=0).wait_s(POLICY) == 3
