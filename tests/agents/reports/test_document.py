"""Documents as HTML and as Markdown: no content becomes markup."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.reports import document
from agents.reports.document import Cards, Document, Picture, Section, Text, Verbatim
from agents.reports.tables import Table
from tests.agents.web.pages import Page

EVIL = '<script>alert("x")</script> & [a](b) | `c` *d*'


@pytest.fixture
def evil(tmp_path: Path) -> Document:
    (tmp_path / "a <b> & c.png").write_bytes(b"\x89PNG made up")
    picture = Picture(tmp_path / "a <b> & c.png", EVIL, EVIL)
    table = Table(EVIL, ("name", EVIL), ((EVIL, EVIL), ("plain", "1\n2")), EVIL, frozenset({1}))
    blocks = (Text((EVIL,)), Text((EVIL, "two")), Verbatim(EVIL + "\n```\nno end"), table, picture)
    return Document(EVIL, (Section(EVIL, (*blocks, Cards(((picture, table),)))),))


def test_html_shows_markup_as_text(evil: Document) -> None:
    html = document.as_html(evil)
    page = Page(html)
    assert "<script" not in html
    assert "script" not in {tag for tag, _ in page.tags}
    # Title, its heading, the section's heading and its link, three lines, the verbatim text, the captions of the
    # pictures; of each of two tables: title, head, two cells, note.
    assert page.text.count(EVIL) == 4 + 3 - 1 + 1 + 2 + 2 * 5
    assert page.table(EVIL)[:2] == [[EVIL, EVIL], ["plain", "1\n2"]]
    assert [attrs["alt"] for tag, attrs in page.tags if tag == "img"] == [EVIL, EVIL]
    assert page.attributes("src") == ["data:image/png;base64,iVBORyBtYWRlIHVw"] * 2
    assert page.attributes("href") == ["#s1"]
    assert page.attributes("id") == ["s1"]
    assert page.attributes("class").count("strong") == 2


def test_html_forbids_requests(evil: Document) -> None:
    policies = [attrs["content"] for _, attrs in Page(document.as_html(evil)).tags if "http-equiv" in attrs]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_markdown_shows_markup_as_text(evil: Document, tmp_path: Path) -> None:
    text = document.as_markdown(evil, tmp_path)
    shown = r'&lt;script>alert("x")&lt;/script> & [a\](b) \| \`c\` \*d\*'
    outside, _, rest = text.partition("````text\n")
    inside, _, more = rest.partition("\n````\n")
    # A fence of four: the text's own fence of three does not end it.
    assert inside == EVIL + "\n```\nno end"
    assert "<script" not in outside + more
    assert f"# {shown}\n\n## {shown}\n\n{shown}\n\n* {shown}\n* two\n" in outside
    assert f"| name | {shown} |\n|---|---|\n| {shown} | {shown} |\n| plain | 1 2 |\n" in more
    assert f"![{shown}](<a &lt;b&gt; &amp; c.png>)\n\n{shown}\n" in more


def test_pictures_are_listed_in_order(tmp_path: Path) -> None:
    one, two, three = (Picture(tmp_path / f"{n}.png", "alt") for n in "123")
    table = Table("t", ("a",), ())
    found = Document("d", (Section("s", (one, Text(("x",)), Cards(((two, table),)))), Section("s", (three,))))
    assert document.pictures(found) == (one.path, two.path, three.path)


def test_a_missing_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        document.as_html(Document("d", (Section("s", (Picture(tmp_path / "gone.png", "alt"),)),)))
