"""Parser of SVG documents with limits. Text, metadata and other namespaces are left out."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element
from xml.parsers import expat

from sketchcanvas_env.svg.style import PROPERTIES
from sketchcanvas_env.svg.text import SvgError

MAX_BYTES = 16 << 20
"""Largest file."""
MAX_TEXT = 4 << 20
"""Largest file without its embedded fonts and pictures, in bytes."""
MAX_ELEMENTS = 5_000
MAX_DEPTH = 64
_MAX_LEFT_OUT = 100_000
"""Most elements in metadata, text, HTML and other namespaces."""
_MAX_NAME = 200
_MAX_ATTRIBUTES = 200
_MAX_ENTITIES = 100
_MAX_ENTITY = 1_000
_MAX_EXPANDED = 1 << 20
_PIECE = 1 << 20
"""Bytes parsed at once. After an error the parser still scans the rest of the piece."""

_SVG = "http://www.w3.org/2000/svg"
_EMPTIED = {"title", "desc", "metadata", "text", "foreignObject", "flowRoot", "font", "script", "image"}
"""Elements whose content is left out."""
_ATTRIBUTES = PROPERTIES | {
    "id", "class", "style", "transform", "href", "d", "points", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r",
    "rx", "ry", "width", "height", "viewBox", "preserveAspectRatio", "clipPathUnits", "maskUnits", "maskContentUnits",
    "type", "media", "requiredExtensions", "systemLanguage",
}  # fmt: skip
_EMBEDDED = re.compile(rb"(data:[\w/+.;=-]*,)[A-Za-z0-9+/=%\s]{64,}")
_ENTITIES_REFUSED = (
    f"entities are refused, except up to {_MAX_ENTITIES} plain texts of up to {_MAX_ENTITY:,} characters "
    "in a UTF-8 document"
)


def parse(data: bytes) -> Element:
    """Root of the document's element tree.

    Tags are local names, for elements of SVG's namespace or of none. `xlink:href` becomes `href`. Attributes that the
    reader does not use are left out. Nothing outside the document is opened.

    Raises:
        SvgError: not an SVG, compressed, beyond `MAX_BYTES`, `MAX_TEXT`, `MAX_ELEMENTS` or `MAX_DEPTH`, an element with
            too long a name or too many attributes, entities other than a few plain texts, or default attributes other
            than namespaces.
    """
    if not data.strip():
        raise SvgError("the file is empty")
    if len(data) > MAX_BYTES:
        raise SvgError(f"larger than {MAX_BYTES} bytes")
    if data[:2] == b"\x1f\x8b":
        raise SvgError("compressed SVG is not read; decompress it first")
    # The parser scans a token that spans pieces again for each piece, so remove long data URIs first.
    data = _EMBEDDED.sub(rb"\1", data)
    if len(data) > MAX_TEXT:
        raise SvgError(f"larger than {MAX_TEXT} bytes without its embedded fonts and pictures")
    builder = _Builder(data)
    try:
        for place in range(0, len(data), _PIECE):
            builder.parser.Parse(data[place : place + _PIECE], place + _PIECE >= len(data))
    except expat.ExpatError as error:
        raise SvgError(f"not well-formed XML ({str(error)[:_MAX_NAME]})") from None
    except SvgError:
        raise
    except (ValueError, LookupError) as error:
        raise SvgError(f"unreadable encoding ({error})") from None
    assert builder.root is not None
    return builder.root


class _Builder:
    """Builds the tree from the parser's events.

    Namespaces are resolved here, because expat prefixes every name with its whole namespace: a megabyte could become
    gigabytes.
    """

    def __init__(self, data: bytes) -> None:
        self.root: Element | None = None
        self.parser = parser = expat.ParserCreate()
        self._data = data
        self._encoding: str | None = None
        self._entities: dict[str, str] = {}
        self._defaults = 0
        self._depth = self._kept = self._left_out = 0
        self._emptied = 0  # depth of the element whose content is left out, 0 outside
        self._open: list[Element] = []
        self._svg: list[dict[str, bool]] = [{"": True}]  # of each open element: whether a prefix means SVG
        self._style: list[str] | None = None
        parser.ordered_attributes = True
        parser.XmlDeclHandler = self._on_declaration
        parser.EntityDeclHandler = self._on_entity
        parser.AttlistDeclHandler = self._on_attribute_list
        parser.EndDoctypeDeclHandler = self._on_document_type
        parser.SkippedEntityHandler = self._on_unknown_entity
        parser.StartElementHandler, parser.EndElementHandler = self._on_start, self._on_end
        parser.CharacterDataHandler = self._on_text

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = encoding

    def _on_entity(self, name: str, parameter: bool, value: str | None, *where: str | None) -> None:
        plain = value is not None and not parameter and len(value) <= _MAX_ENTITY and not {"&", "<"} & set(value)
        if not plain or len(self._entities) >= _MAX_ENTITIES:
            raise SvgError(_ENTITIES_REFUSED)
        self._entities.setdefault(name, value or "")

    def _on_unknown_entity(self, name: str, parameter: bool) -> None:
        raise SvgError(f"undefined entity {name[:_MAX_NAME]!r}")

    def _on_attribute_list(self, element: str, name: str, kind: str, default: str | None, required: bool) -> None:
        self._defaults += 1
        if default is None and self._defaults <= 10 * _MAX_ENTITIES:
            return
        if self._defaults > _MAX_ENTITIES or not name.startswith("xmlns") or len(default or "") > _MAX_ENTITY:
            raise SvgError("a document type with default attributes other than namespaces is not read")

    def _on_document_type(self) -> None:
        """Check the total length of all expanded entities before any is used."""
        if not self._entities:
            return
        # The count below works in these encodings only.
        if b"\0" in self._data or (self._encoding or "utf-8").lower() not in ("utf-8", "us-ascii", "iso-8859-1"):
            raise SvgError(_ENTITIES_REFUSED)
        uses = {name: self._data.count(f"&{name};".encode(self._encoding or "utf-8")) for name in self._entities}
        if sum(uses[name] * len(value) for name, value in self._entities.items()) > _MAX_EXPANDED:
            raise SvgError(f"entities that expand to more than {_MAX_EXPANDED} characters are refused")

    def _on_start(self, tag: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SvgError(f"elements nested deeper than {MAX_DEPTH}")
        if self._emptied:
            self._left_out += 1
            if self._left_out > _MAX_LEFT_OUT:
                raise SvgError(f"more than {_MAX_LEFT_OUT} elements in text, metadata and other namespaces")
            return
        self._kept += 1
        if self._kept > MAX_ELEMENTS:
            raise SvgError(f"more than {MAX_ELEMENTS} elements")
        if len(tag) > _MAX_NAME:
            raise SvgError(f"a name longer than {_MAX_NAME} characters: {tag[:20]}")
        if len(attributes) > 2 * _MAX_ATTRIBUTES:
            raise SvgError(f"an element with more than {_MAX_ATTRIBUTES} attributes: <{tag}>")
        given = dict(zip(attributes[::2], attributes[1::2], strict=True))
        own = self._svg[-1]
        if any(name.startswith("xmlns") for name in given):
            told = {name[6:]: uri in (_SVG, "") for name, uri in given.items() if name.partition(":")[0] == "xmlns"}
            own = {**own, **told}
        prefix, _, local = tag.rpartition(":")
        is_svg = own.get(prefix, False)
        if not self._open and not (is_svg and local == "svg"):
            raise SvgError(f"the root element is <{tag}>, not <svg>" + " of the namespace of SVG" * (local == "svg"))
        if not is_svg:
            self._emptied = self._depth
            return
        element = Element(local, {name: given[name] for name in given if name in _ATTRIBUTES})
        if (href := given.get("xlink:href")) is not None:
            element.attrib.setdefault("href", href)
        if self._open:
            self._open[-1].append(element)
        else:
            self.root = element
        if local in _EMPTIED:
            self._emptied = self._depth
            return
        self._open.append(element)
        self._svg.append(own)
        self._style = [] if local == "style" else None

    def _on_end(self, tag: str) -> None:
        if self._emptied:
            if self._emptied == self._depth:
                self._emptied = 0
        else:
            element = self._open.pop()
            self._svg.pop()
            if self._style is not None and element.tag == "style":
                element.text, self._style = "".join(self._style), None
        self._depth -= 1

    def _on_text(self, text: str) -> None:
        if self._style is not None and not self._emptied:
            self._style.append(text)
