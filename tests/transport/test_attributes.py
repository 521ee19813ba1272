"""What callers say of themselves: read from metadata and messages, and refused where it would hurt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.criticality import Criticality
from serinus.core.errors import InvalidInput
from serinus.core.predictor import NO_ATTRIBUTES
from serinus.transport.attributes import NOTHING_SAID, Said, checked, said_in, together

USUAL = [("user-agent", "grpc-python-asyncio/1.80.0"), ("authorization", "Bearer x"), ("trace-bin", b"\x00")]
NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=64)
TEXTS = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=256)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, NOTHING_SAID),
        (USUAL, NOTHING_SAID),
        ([*USUAL, ("x-serinus-cohort", "beta")], Said("", {"cohort": "beta"})),
        ([("x-serinus-version", "1.2.0"), ("x-serinus-cohort", "")], Said("", {"version": "1.2.0", "cohort": ""})),
        ([("x-serinus-routing-key", "customer 7")], Said("customer 7", NO_ATTRIBUTES)),
        (
            [("x-serinus-tenant", "acme"), ("x-serinus-criticality", "sheddable")],
            Said("", NO_ATTRIBUTES, "acme", Criticality.SHEDDABLE),
        ),
        ([("x-serinus", "no name"), ("X-Serinus-Cohort", "not as HTTP/2 writes it")], NOTHING_SAID),
    ],
)
def test_metadata_says_who_calls(metadata, said: Said):
    """Under our prefix alone; what has a meaning of its own is no attribute."""
    assert said_in(metadata) == said


@given(st.dictionaries(NAMES, TEXTS, max_size=16), st.dictionaries(NAMES, TEXTS, max_size=16))
def test_the_call_itself_has_precedence_over_metadata(said: dict[str, str], own: dict[str, str]):
    """And together they are as few as either may be."""
    everything = {**said, **own}
    if own and len(everything) > 16:
        with pytest.raises(InvalidInput):
            together(said, own)
    else:
        assert together(said, own) == everything


@pytest.mark.parametrize(
    ("attributes", "reason", "message"),
    [
        ({str(n): "" for n in range(17)}, "TOO_MANY_ENTRIES", "attributes: expected at most 16, got 17"),
        ({"": "x"}, "MISSING_NAME", "attributes: expected names, got an empty one"),
        ({"n" * 65: "x"}, "TEXT_TOO_LONG", "attributes: name: expected at most 64 bytes, got 65"),
        ({"é" * 33: "x"}, "TEXT_TOO_LONG", "attributes: name: expected at most 64 bytes, got 66"),
        ({"a\nb": "x"}, "CONTROL_CHARACTER", "attributes: name: expected no control characters"),
        ({"a": "x" * 257}, "TEXT_TOO_LONG", "attributes: 'a': expected at most 256 bytes, got 257"),
        ({"a": "x\x00"}, "CONTROL_CHARACTER", "attributes: 'a': expected no control characters"),
    ],
)
def test_attributes_that_nobody_could_log_are_refused(attributes: dict[str, str], reason: str, message: str):
    """Wherever they stand."""
    with pytest.raises(InvalidInput) as refused:
        checked(attributes)
    assert (refused.value.reason, refused.value.message, refused.value.field) == (reason, message, "attributes")
    with pytest.raises(InvalidInput):
        said_in([(f"x-serinus-{name}", value) for name, value in attributes.items()])


@pytest.mark.parametrize(
    ("metadata", "reason", "field"),
    [
        ([("x-serinus-a-bin", b"\xff")], "NOT_TEXT", "attributes"),
        ([("x-serinus-a", "1"), ("x-serinus-a", "2")], "DUPLICATE_ATTRIBUTE", "attributes"),
        ([("x-serinus-routing-key", "1"), ("x-serinus-routing-key", "1")], "DUPLICATE_ATTRIBUTE", "attributes"),
        ([("x-serinus-routing-key", "k" * 257)], "TEXT_TOO_LONG", "routing_key"),
        ([("x-serinus-routing-key", "k\x7f")], "CONTROL_CHARACTER", "routing_key"),
        ([("x-serinus-tenant", "t" * 257)], "TEXT_TOO_LONG", "tenant"),
        ([("x-serinus-criticality", "urgent")], "WRONG_VALUE", "criticality"),
    ],
)
def test_metadata_that_can_be_read_in_two_ways_is_refused(metadata, reason: str, field: str):
    """A rule must not depend on which proxy the call came through."""
    with pytest.raises(InvalidInput) as refused:
        said_in(metadata)
    assert (refused.value.reason, refused.value.field) == (reason, field)
