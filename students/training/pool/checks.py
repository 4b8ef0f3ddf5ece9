"""Checks of settings: each raises a ValueError that names the field and says what is allowed."""

from __future__ import annotations

import math
from typing import Any


def check_whole(field: str, value: Any, least: int, most: int) -> None:
    """ValueError unless `value` is a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{field} must be a whole number from {least:,} to {most:,}, got {_shown(value)}")


def check_number(field: str, value: Any, least: float, most: float, above: bool = False) -> None:
    """ValueError unless `value` is a number from `least` (or, with `above`, anything above it) to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number or not least <= value <= most or (above and value == least):
        rule = f"above {least:g} and at most {most:g}" if above else f"from {least:g} to {most:g}"
        raise ValueError(f"{field} must be a number {rule}, got {_shown(value)}")


def check_text(field: str, value: Any, optional: bool = False) -> None:
    """ValueError unless `value` is a text that is not empty (or None, with `optional`)."""
    if (value is None and optional) or (isinstance(value, str) and value):
        return
    raise ValueError(f"{field} must be a text{' or null' if optional else ''}, got {_shown(value)}")


def check_choice(field: str, value: Any, allowed: tuple[str, ...]) -> None:
    """ValueError unless `value` is one of the texts in `allowed`."""
    if value not in allowed:
        raise ValueError(f"{field} must be one of {', '.join(map(repr, allowed))}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
