"""What an attack is: a hostile file, the reader it is for, and the reason that must be given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.readers import READERS, write

Content = bytes | Callable[[], bytes]
"""The bytes of a file, or what makes them; large ones are made when they are needed."""
Card = dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """A hostile file.

    Attributes:
        reader: key of `READERS`.
        make: writes the file into a folder and returns its path.
        reason: regular expression of what the error must say; None where the harmful part is left out unread, and the
            file may be read without it.
        seconds: of the processor at most. The aim is 0.1; a machine may be slower and busy.
    """

    reader: str
    make: Callable[[Path], Path]
    reason: str | None
    seconds: float = 2.0


def files(
    reader: str, cases: Mapping[str, tuple[Content, str | None]], prefix: str = "", seconds: float = 2.0
) -> dict[str, Attack]:
    """Attacks by name; each case is what the file holds and the reason."""

    def attack(data: Content, reason: str | None) -> Attack:
        def make(folder: Path) -> Path:
            return write(READERS[reader], folder, data if isinstance(data, bytes) else data())

        return Attack(reader, make, reason, seconds)

    return {f"{prefix or reader}: {name}": attack(*case) for name, case in cases.items()}


def cards(reader: str, cases: Mapping[str, tuple[Callable[[Card], bytes | Card] | Card, str]]) -> dict[str, Attack]:
    """Attacks by name: a good weights file beside a bad card.

    Args:
        reader: key of `READERS`.
        cases: what replaces the good card, or the fields that are replaced in it, and the reason.
    """

    def attack(change: Callable[[Card], bytes | Card] | Card, reason: str) -> Attack:
        def make(folder: Path) -> Path:
            text = READERS[reader].good()[1]
            assert text is not None
            card = json.loads(text)
            changed = change(card) if callable(change) else {**card, **change}
            data = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
            return write(READERS[reader], folder, card=data)

        return Attack(reader, make, reason)

    return {f"{reader} card: {name}": attack(*case) for name, case in cases.items()}
