"""A short document of text, tables and pictures, written twice: as one self-contained HTML file, and as Markdown.

All content is data: names, ids and licences come from files and from users. Both forms escape it, so none of it can
become markup; the HTML form, in addition, forbids itself every request (a content security policy).
"""

from __future__ import annotations

import base64
import html
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, StrictUndefined

from agents.reports import tables as report

TEMPLATE = Path(__file__).with_name("document.html.j2")


@dataclass(frozen=True)
class Text:
    """A paragraph; several lines are a list."""

    kind: ClassVar[str] = "text"

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Verbatim:
    """Text whose line breaks count, such as a licence or a command."""

    kind: ClassVar[str] = "verbatim"

    text: str


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row.

    Attributes:
        title: what it shows.
        columns: heads.
        rows: cells, as many to a row as there are columns.
        note: how to read it, below the table.
        strong: rows that stand out, by number.
        words: the cells are words, to be read from the left; else they are numbers.
    """

    kind: ClassVar[str] = "table"

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    strong: frozenset[int] = frozenset()
    words: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG file.

    Attributes:
        path: of the file.
        alt: what can be seen on it, for those who cannot see it.
        caption: below it.
    """

    kind: ClassVar[str] = "picture"

    path: Path
    alt: str
    caption: str = ""

    @property
    def uri(self) -> str:
        """The picture itself as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode("ascii")


@dataclass(frozen=True)
class Cards:
    """Pictures with a small table each, side by side where there is room."""

    kind: ClassVar[str] = "cards"

    cards: tuple[tuple[Picture, Table], ...]


Block = Text | Verbatim | Table | Picture | Cards


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A title and sections."""

    title: str
    sections: tuple[Section, ...]


def pictures(document: Document) -> tuple[Path, ...]:
    """The files of all pictures, in the order of the document."""
    found: list[Path] = []
    for block in (block for section in document.sections for block in section.blocks):
        match block:
            case Picture():
                found.append(block.path)
            case Cards(cards):
                found += [picture.path for picture, _ in cards]
    return tuple(found)


def as_html(document: Document) -> str:
    """The document as one HTML file that asks for no other.

    Raises:
        FileNotFoundError: a picture that is not there.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(document=document) + "\n"


def as_markdown(document: Document, folder: Path) -> str:
    """The document as Markdown.

    Args:
        document: what to write.
        folder: where the Markdown file will lie; pictures are named relative to it.
    """
    parts = [f"# {_plain(document.title)}"]
    for section in document.sections:
        parts.append(f"## {_plain(section.title)}")
        parts += [_block(block, folder) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _block(block: Block, folder: Path) -> str:
    match block:
        case Text(lines):
            return _plain(lines[0]) if len(lines) == 1 else "\n".join(f"* {_plain(line)}" for line in lines)
        case Verbatim(text):
            # Longer than any row of backticks within: nothing can end the block early.
            fence = "`" * max(3, 1 + max((len(row) for row in re.findall("`+", text)), default=0))
            return f"{fence}text\n{text}\n{fence}"
        case Table(title, columns, rows, note):
            cells = [[_plain(cell) for cell in row] for row in rows]
            parts = [f"**{_plain(title)}**", report.markdown([_plain(column) for column in columns], cells).rstrip()]
            return "\n\n".join([*parts, _plain(note)] if note else parts)
        case Picture(path, alt, caption):
            where = html.escape(Path(os.path.relpath(path, folder)).as_posix())
            shown = f"![{_plain(alt)}](<{where}>)"
            return f"{shown}\n\n{_plain(caption)}" if caption else shown
        case Cards(cards):
            return "\n\n".join(f"{_block(picture, folder)}\n\n{_block(table, folder)}" for picture, table in cards)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no emphasis, no links, no cell of a table ended early."""
    one_line = " ".join(text.replace("\\", "\\\\").split())
    return re.sub(r"([`*|]|\](?=[(\[]))", r"\\\1", html.escape(one_line, quote=False))
