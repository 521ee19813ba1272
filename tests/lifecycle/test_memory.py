"""Which loaded versions go when another needs the room."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.lifecycle.memory import Resident, to_unload
from tests.lifecycle.plans import version


def resident(name: str, size_bytes: int = 10, used: float = 0.0, *, free: bool = True, named: bool = False) -> Resident:
    model, _, text = name.partition("@")
    return Resident(version(text, model), size_bytes, used, may_go=free, is_named=named)


LOADING = version("9.0.0", "new")


@pytest.mark.parametrize(
    ("residents", "excess_bytes", "gone"),
    [
        pytest.param([], 0, [], id="there is room"),
        pytest.param([], -5, [], id="there is more than enough"),
        pytest.param([], 1, None, id="nothing could go"),
        pytest.param([resident("a@1.0.0", used=2), resident("b@1.0.0", used=1)], 10, ["b@1.0.0"], id="least recent"),
        pytest.param(
            [resident("a@1.0.0", used=2), resident("b@1.0.0", used=1)],
            11,
            ["b@1.0.0", "a@1.0.0"],
            id="as many as needed",
        ),
        pytest.param(
            [resident("a@1.0.0", used=1), resident("b@1.0.0", used=9), resident("b@2.0.0", used=8)],
            10,
            ["b@2.0.0"],
            id="the last of a model after the others",
        ),
        pytest.param(
            [resident("a@1.0.0", used=1), resident("b@1.0.0", used=9), resident("b@2.0.0", used=8)],
            20,
            ["b@2.0.0", "a@1.0.0"],
            id="and what became the last is no better than another",
        ),
        pytest.param(
            [resident("b@1.0.0", used=1, named=True), resident("b@2.0.0", used=8), resident("b@3.0.0", used=9)],
            10,
            ["b@2.0.0"],
            id="what an alias means after the others",
        ),
        pytest.param([resident("a@1.0.0", used=1, free=False), resident("b@1.0.0")], 10, ["b@1.0.0"], id="none in use"),
        pytest.param([resident("a@1.0.0", free=False)], 1, None, id="all are in use"),
        pytest.param([resident("new@1.0.0")], 1, None, id="not the last of the model that is loaded"),
        pytest.param(
            [resident("new@1.0.0", used=1), resident("new@2.0.0", used=2)], 10, ["new@1.0.0"], id="but another of it"
        ),
        pytest.param(
            [resident("new@1.0.0", used=1), resident("new@2.0.0", used=2)], 11, None, id="and still not the last"
        ),
        pytest.param(
            [resident("new@9.0.0", used=1), resident("new@2.0.0", used=2)],
            10,
            ["new@2.0.0"],
            id="not the version that is loaded again",
        ),
    ],
)
def test_the_least_missed_goes_first(residents: list[Resident], excess_bytes: int, gone: list[str] | None):
    """Or nothing at all, where that would not help."""
    found = to_unload(residents, excess_bytes=excess_bytes, loading=LOADING)
    assert (None if found is None else [str(each) for each in found]) == gone


names = st.builds(lambda model, number: f"{model}@{number}.0.0", st.sampled_from(["a", "b", "new"]), st.integers(1, 3))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        names,
        st.tuples(st.integers(0, 30), st.integers(0, 5), st.booleans(), st.booleans()),
        max_size=7,
    ),
    st.integers(-10, 100),
)
def test_what_goes_is_enough_and_no_more(described: dict[str, tuple[int, int, bool, bool]], excess_bytes: int):
    """Only what may go, until there is room; nothing where there cannot be."""
    residents = [
        resident(name, size, float(used), free=free, named=named)
        for name, (size, used, free, named) in described.items()
    ]
    by_identity = {each.identity: each for each in residents}
    found = to_unload(residents, excess_bytes=excess_bytes, loading=LOADING)
    if found is None:
        free = [each for each in residents if each.may_go and each.identity.model != "new"]
        assert sum(each.size_bytes for each in free) < excess_bytes
        return
    gone = [by_identity[identity] for identity in found]
    assert all(each.may_go for each in gone)
    assert sum(each.size_bytes for each in gone) >= excess_bytes
    assert sum(each.size_bytes for each in gone[:-1]) < max(excess_bytes, 1)
    there = [each for each in residents if each.identity.model == "new"]
    assert not there or {each.identity for each in there} - set(found)
