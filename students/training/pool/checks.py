"""Checks of settings. Each raises a ValueError of one line that names the field and what is allowed."""

from __future__ import annotations

import math
from typing import Any


def check_whole(field: str, value: Any, least: int, most: int) -> None:
    """Raise ValueError unless `value` is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{field} must be a whole number from {least:,} to {most:,}, got {_shortened(value)}")


def check_number(field: str, value: Any, least: float, most: float, above: bool = False) -> None:
    """Raise ValueError unless `value` is a finite number from `least` to `most`; `above` excludes `least` itself."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most or (above and value == least):
        rule = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
        raise ValueError(f"{field} must be a number {rule}, got {_shortened(value)}")


def check_text(field: str, value: Any, optional: bool = False) -> None:
    """Raise ValueError unless `value` is a non-empty text, or None where `optional`."""
    if (value is None and optional) or (isinstance(value, str) and value):
        return
    raise ValueError(f"{field} must be a text{' or null' if optional else ''}, got {_shortened(value)}")


def check_choice(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless `value` is one of the texts in `allowed`."""
    if value not in allowed:
        raise ValueError(f"{field} must be one of {', '.join(map(repr, allowed))}, got {_shortened(value)}")


def _shortened(value: Any) -> str:
    """The value as text of at most 80 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
