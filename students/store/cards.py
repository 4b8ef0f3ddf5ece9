"""Tensors and the card that describes them, in one safetensors file: the card is JSON in the file's metadata.

Students, selectors, indexes and stored runs have this format. One rename replaces weights and card together, so that
they cannot disagree. Needs numpy and safetensors; torch only to read or write its tensors.

    digest = cards.write("runs/best.safetensors", tensors, {"algorithm": "ppo"}, kind="selector")
    card = cards.read_card("runs/best.safetensors", kind="selector")
    card, tensors = cards.read("runs/best.safetensors", "selector", max_bytes=lambda card: 1 << 20)
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Literal

from safetensors import SafetensorError

from sketchcanvas_env.storage.files import atomic_write, is_special, parse_json

MAX_CARD_BYTES = 1 << 20
"""Default limit on the size of a card, in bytes of JSON."""

_MAX_TENSOR_BYTES = 4 << 20
"""Limit on the list of tensors (names, types, shapes) in a header; that of 20,000 tensors takes about 2 MB."""

_METADATA, _CARD = "__metadata__", "sketchcanvas"


def write(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    card: Mapping[str, Any],
    kind: str,
    max_card_bytes: int = MAX_CARD_BYTES,
) -> str:
    """Write tensors with their card, atomically.

    Args:
        path: the file to write or replace, usually ending in .safetensors.
        tensors: by name, all of torch (any device, any layout) or all of numpy.
        card: JSON-able; "kind" and "sha256" are filled in.
        kind: what the file holds, such as "student"; `read` checks it.
        max_card_bytes: limit on the card, in bytes of JSON.

    Returns:
        The hexadecimal SHA-256 of the tensors with their names, types and shapes; independent of the card.

    Raises:
        ValueError: the card is not JSON (NaN included) or too large. Nothing is written.
        OSError: as `atomic_write`.
    """
    data = _render(tensors)
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), memoryview(data)[8 + size :]
    digest = _digest(header, body)
    try:
        text = json.dumps({**card, "kind": kind, "sha256": digest}, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} is not written: its card is not JSON: {error}") from None
    if len(text.encode()) > max_card_bytes:
        raise ValueError(f"{os.fspath(path)} is not written: its card is larger than {max_card_bytes:,} bytes")
    header[_METADATA] = {**header.get(_METADATA, {}), _CARD: text}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        file.write(_packed(header))
        file.write(body)
    return digest


def read_card(path: str | os.PathLike[str], kind: str, max_card_bytes: int = MAX_CARD_BYTES) -> dict[str, Any]:
    """The card of a file, with "kind" and "sha256"; the tensors are neither read nor checked.

    Args:
        path: a file written by `write`.
        kind: the kind that it must have.
        max_card_bytes: limit on the card.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, not a safetensors file, or no card of this kind.
    """
    with _opened(path) as file:
        return _header(file, path, kind, max_card_bytes)[1]


def read(
    path: str | os.PathLike[str],
    kind: str,
    max_bytes: Callable[[dict[str, Any]], int],
    framework: Literal["torch", "numpy"] = "torch",
    max_card_bytes: int = MAX_CARD_BYTES,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The card and the tensors of a file from an untrusted source.

    Args:
        path: a file written by `write`.
        kind: the kind that it must have.
        max_bytes: called with the card, returns the most bytes that the tensors may take; larger files are not read. It
            may raise ValueError for a card that does not describe any tensors.
        framework: library of the tensors. Arrays of numpy are read-only.
        max_card_bytes: limit on the card.

    Returns:
        (card, tensors by name). The caller must check names, types and shapes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `read_card`, and for tensors that are too large, incomplete, or differ from the card's SHA-256.
    """
    with _opened(path) as file:
        header, card = _header(file, path, kind, max_card_bytes)
        limit = max_bytes(card)
        if os.fstat(file.fileno()).st_size - file.tell() > limit:
            raise ValueError(f"{os.fspath(path)} is larger than the {limit:,} bytes that its card describes")
        body = file.read(limit)
    if _digest(header, body) != card["sha256"]:
        raise ValueError(f"{os.fspath(path)} is damaged: its tensors do not have the SHA-256 on its card")
    try:
        return card, _parse(_packed(header) + body, framework)
    # numpy's reader raises KeyError for unknown types.
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} is damaged: {error}") from None


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    if is_special(path):
        raise ValueError(f"{os.fspath(path)} is not a plain file")
    return open(path, "rb")


def _header(
    file: BinaryIO, path: str | os.PathLike[str], kind: str, max_card_bytes: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(header without the card, card); the file's position is then at the first tensor."""
    name = os.fspath(path)
    size = int.from_bytes(file.read(8), "little")
    # In the header the card is JSON inside JSON, where escaping can double its size.
    if size > 2 * max_card_bytes + _MAX_TENSOR_BYTES:
        raise ValueError(f"{name} is not a readable safetensors file: its header is too large")
    data = file.read(size)
    if len(data) < size or not data.startswith(b"{"):
        raise ValueError(f"{name} is not a readable safetensors file")
    header = parse_json(data, f"{name} is not a readable safetensors file: its header")
    metadata = header.get(_METADATA)
    text = metadata.pop(_CARD, None) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ValueError(f"{name} holds no card: it is not a {kind} written by this library")
    if len(text.encode(errors="replace")) > max_card_bytes:
        raise ValueError(f"{name}: the card is larger than {max_card_bytes:,} bytes")
    if not metadata:
        del header[_METADATA]
    card = parse_json(text, f"{name}: the card")
    if not isinstance(card, dict) or card.get("kind") != kind or not isinstance(card.get("sha256"), str):
        found = card.get("kind") if isinstance(card, dict) else None
        raise ValueError(f"{name} is not a {kind}: its card says {found!r}"[:300])
    return header, card


def _digest(header: Mapping[str, Any], body: bytes | memoryview) -> str:
    """Hexadecimal SHA-256 of the file without its card."""
    digest = hashlib.sha256(_packed(header))
    digest.update(body)
    return digest.hexdigest()


def _packed(header: Mapping[str, Any]) -> bytes:
    """A header's bytes as safetensors writes them: length, compact JSON, and spaces up to a multiple of 8 bytes."""
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _render(tensors: Mapping[str, Any]) -> bytes:
    """The tensors as a safetensors file without a card."""
    import numpy as np

    if all(isinstance(value, np.ndarray) for value in tensors.values()):
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    from safetensors.torch import save as save_torch

    # Copies, since safetensors refuses tensors that share memory.
    return save_torch({name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}, {"format": "pt"})


def _parse(data: bytes, framework: str) -> dict[str, Any]:
    if framework == "numpy":
        from safetensors.numpy import load

        return load(data)
    from safetensors.torch import load as load_torch

    return load_torch(data)
