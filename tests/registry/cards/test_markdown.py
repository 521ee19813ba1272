"""Text that somebody else wrote stays text."""

import html
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from serinus.registry.cards.markdown import inline, literal, number, size, table

_RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
markup = st.text(st.sampled_from(list("ab1 `*_{}[]()<>#+-.!|\\&;:~=/'\"\n\tä$")), max_size=20)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def plain(text: str) -> str:
    """What a reader should see of it: one line without control characters."""
    return " ".join(
        re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]", " ", text).split()
    )


@settings(deadline=None)
@given(markup | anything)
@example("<script>alert(1)</script>")
@example("![x](javascript:alert(1))")
@example("[a]: http://x")
@example("1. a")
@example("-")
@example("&lt;")
@example("a\n# b")
def test_a_line_shows_what_was_written(text: str):
    """Rendered by somebody else's renderer: one paragraph, and not a tag in it."""
    rendered = _RENDERER.render(inline(text)).rstrip("\n")
    assert rendered == (
        f"<p>{html.escape(plain(text), quote=False).replace(chr(34), '&quot;')}</p>" if plain(text) else ""
    )


@settings(deadline=None)
@given(st.lists(st.tuples(markup | anything, markup), min_size=1, max_size=3))
def test_a_table_has_a_cell_for_each_text(rows: list[tuple[str, str]]):
    """No text ends its cell or its row."""
    rendered = _RENDERER.render(table(("A", "B"), rows))
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", rendered)]
    assert cells == [plain(text) for row in rows for text in row]


@settings(deadline=None)
@given(st.text(st.sampled_from(list("`~ a\n")), max_size=30))
def test_nothing_ends_a_block_of_code(text: str):
    """However many backticks it holds."""
    rendered = _RENDERER.render(f"{literal(text, 'yaml')}\n\nafter")
    content = html.unescape(rendered.removeprefix('<pre><code class="language-yaml">').partition("</code></pre>")[0])
    assert content.strip("\n") == text.rstrip().strip("\n")
    assert rendered.endswith("</code></pre>\n<p>after</p>\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain words, 1.5 % of them", "plain words, 1.5 % of them"),
        ("a|b", r"a\|b"),
        ("a\nb\r\nc\td", "a b c d"),
        ("<img src=x onerror=y>", r"&lt;img src=x onerror=y\>"),
        ("`rm`", r"\`rm\`"),
        ("https://example.com", r"https\://example.com"),
        ("mailto:a@b", r"mailto\:a@b"),
        ("left \u202eright", "left right"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("12) item", r"12\) item"),
        ("2026. A year", r"2026\. A year"),
        ("1.5", "1.5"),
        (".5 (half)!", r"\.5 (half)!"),
        ("snake_case", "snake_case"),
        ("_a_ __b", r"\_a\_ \_\_b"),
    ],
)
def test_markup_is_escaped_and_words_are_not(text: str, line: str):
    """So that a card is readable as it is."""
    assert inline(text) == line


def test_a_table_without_rows_is_nothing():
    """A title over nothing says nothing."""
    assert table(("A", "B"), []) == ""
    assert table(("A", "B"), [("1", "2")]) == "| A | B |\n|---|---|\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"), (3_141_593, "3.1 MB"),
     (10**12, "1.0 TB"), (5 * 10**16, "50000.0 TB")],
)  # fmt: skip
def test_a_size_has_a_unit(size_bytes: int, text: str):
    """Powers of 1000, as disks and networks count."""
    assert size(size_bytes) == text


@pytest.mark.parametrize(("value", "text"), [(0.93, "0.93"), (1 / 3, "0.333333"), (1e-7, "1e-07"), (12.0, "12")])
def test_a_number_has_six_digits(value: float, text: str):
    """Nobody compares more on a card."""
    assert number(value) == text
