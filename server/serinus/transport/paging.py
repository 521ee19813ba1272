"""How long lists are cut into pages that a message can hold."""

import base64
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from serinus.core.errors import InvalidInput
from serinus.core.version import check_model_name
from serinus.registry.records import Page
from serinus.threads import to_thread
from serinus.transport.wire_limits import check_text

Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=Message)

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000
MOST_ANSWER_BYTES = 3 << 20  # clients take 4 MiB if nobody tells them otherwise
_LONGEST_TOKEN_BYTES = 1024


def page_of(page_size: int, page_token: str) -> tuple[int, str]:
    """How many entries of a list, and from where.

    Raises:
        InvalidInput: the page is too large, or no list gives such a token.
    """
    check_text("page_token", page_token, longest_bytes=_LONGEST_TOKEN_BYTES, field="page_token")
    if page_size > LARGEST_PAGE:
        raise InvalidInput(
            f"page_size: expected at most {LARGEST_PAGE}, got {page_size}", reason="PAGE_TOO_LARGE", field="page_size"
        )
    return page_size or DEFAULT_PAGE, page_token


def token_of(name: str) -> str:
    """The token of the page behind the model of that name."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def name_of(page_token: str) -> str:
    """The name behind which a page of models begins.

    Raises:
        InvalidInput: no page of models gave such a token.
    """
    try:
        return page_token and check_model_name(base64.urlsafe_b64decode(page_token).decode("ascii"))
    except (ValueError, InvalidInput) as error:
        raise InvalidInput(
            "invalid page token: expected the one of the page before", reason="INVALID_PAGE_TOKEN", field="page_token"
        ) from error


async def fitting(
    size: int, fetch: Callable[[int], Awaitable[Page[Item]]], show: Callable[[Item], Shown]
) -> tuple[Sequence[Shown], str]:
    """A page that a message can hold, and the token of the rest: what does not fit is left for the next page.

    Args:
        size: Most entries.
        fetch: Gives a page of so many.
        show: Makes a message of an entry, on a thread.
    """
    while True:
        page = await fetch(size)
        shown = await to_thread(all_that_fit, page.items, show)
        if len(shown) == len(page.items):
            return shown, page.next_token
        # Only to hear where the rest begins, unless something has changed meanwhile.
        size = len(shown)
        shorter = await fetch(size)
        if shorter.items == page.items[:size]:
            return shown, shorter.next_token


def all_that_fit(items: Iterable[Item], show: Callable[[Item], Shown]) -> Sequence[Shown]:
    """Messages of the first items, as many as one answer can hold, and at least one; not for the event loop."""
    shown: list[Shown] = []
    size_bytes = 0
    for item in items:
        message = show(item)
        size_bytes += message.ByteSize()
        if shown and size_bytes > MOST_ANSWER_BYTES:
            break
        shown.append(message)
    return shown
