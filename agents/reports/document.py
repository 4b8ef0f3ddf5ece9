"""Documents of text, tables and pictures, rendered as one self-contained HTML file or as Markdown.

Names, ids and licences come from files and from users, so both forms escape all content. The HTML also forbids every
request (content security policy).
"""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jinja2 import Environment, StrictUndefined

from agents.reports.tables import Table, markdown, plain

TEMPLATE = Path(__file__).with_name("document.html.j2")


@dataclass(frozen=True)
class Text:
    """A paragraph; several lines are a list."""

    kind: ClassVar[str] = "text"

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Verbatim:
    """Preformatted text, such as a licence or a command."""

    kind: ClassVar[str] = "verbatim"

    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG file.

    Attributes:
        path: of the file.
        alt: the description for readers who cannot see it.
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
    """Pictures, each with a small table, side by side where there is room."""

    kind: ClassVar[str] = "cards"

    cards: tuple[tuple[Picture, Table], ...]


Block = Text | Verbatim | Table | Picture | Cards


@dataclass(frozen=True)
class Section:
    """A heading and the blocks below it."""

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
    """The document as one HTML file that needs no other.

    Raises:
        FileNotFoundError: a picture that is not there.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(document=document) + "\n"


def as_markdown(document: Document, folder: Path) -> str:
    """The document as Markdown.

    Args:
        document: what to render.
        folder: of the Markdown file; pictures are linked relative to it.
    """
    parts = [f"# {plain(document.title)}\n"]
    for section in document.sections:
        parts += [f"## {plain(section.title)}\n", blocks_markdown(section.blocks, folder)]
    return "\n".join(parts)


def blocks_markdown(blocks: Iterable[Block], folder: Path = Path()) -> str:
    """Blocks as Markdown; arguments as for `as_markdown`."""
    return "\n\n".join(_block(block, folder) for block in blocks) + "\n"


def _block(block: Block, folder: Path) -> str:
    match block:
        case Text(lines):
            return plain(lines[0]) if len(lines) == 1 else "\n".join(f"* {plain(line)}" for line in lines)
        case Verbatim(text):
            # A fence longer than any run of backticks in the text, so that the text cannot end the block.
            fence = "`" * max(3, 1 + max((len(row) for row in re.findall("`+", text)), default=0))
            return f"{fence}text\n{text}\n{fence}"
        case Table(title, note=note):
            parts = [f"**{plain(title)}**", markdown(block).rstrip()]
            return "\n\n".join([*parts, plain(note)] if note else parts)
        case Picture(path, alt, caption):
            where = html.escape(Path(os.path.relpath(path, folder)).as_posix())
            shown = f"![{plain(alt)}](<{where}>)"
            return f"{shown}\n\n{plain(caption)}" if caption else shown
        case Cards(cards):
            return "\n\n".join(f"{_block(picture, folder)}\n\n{_block(table, folder)}" for picture, table in cards)
