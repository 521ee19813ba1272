"""What can go wrong, in words."""

import pytest

from serinus.core.errors import InvalidInput, NotFound, Overloaded, ServerError


def every(kind: type[ServerError] = ServerError) -> list[type[ServerError]]:
    return [found for below in kind.__subclasses__() for found in (below, *every(below))]


def test_every_class_has_a_reason_of_its_own():
    """An UPPER_SNAKE word, so that programs can branch on it."""
    reasons = [kind.default_reason for kind in every()]
    assert len(set(reasons)) == len(reasons)
    assert all(reason.replace("_", "").isalpha() and reason.isupper() for reason in reasons)


def test_the_reason_of_the_case_stands_in_place_of_the_class_s():
    """And an error that says nothing more has no field."""
    plain, special = NotFound("no such model"), InvalidInput("too long", reason="TEXT_TOO_LONG", field="id")
    assert (plain.message, str(plain), plain.reason, plain.field) == ("no such model", "no such model", "NOT_FOUND", "")
    assert (special.reason, special.field) == ("TEXT_TOO_LONG", "id")


@pytest.mark.parametrize("options", [{}, {"reason": "QUEUE_FULL"}])
def test_an_overload_says_when_to_come_back(options: dict[str, str]):
    """In seconds."""
    error = Overloaded("full", retry_after_s=0.5, **options)
    assert (error.retry_after_s, error.reason) == (0.5, options.get("reason", "OVERLOADED"))
