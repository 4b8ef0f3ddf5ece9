"""Weights, their cards, indexes and checkpoints that mean harm."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.attacks.attack import Attack, Card, Content, cards, files
from tests.hostile.attacks.pickles import OBJECT
from tests.hostile.readers import READERS, write


def tensors(header: bytes | dict[str, Any], body: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with a header of our own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def _one(dtype: str, shape: list[int], ends: tuple[int, int]) -> dict[str, Any]:
    return {"w": {"dtype": dtype, "shape": shape, "data_offsets": list(ends)}}


SAFETENSORS: dict[str, tuple[Content, str]] = {
    "empty": (b"", ""),
    "a header of 2^63 bytes": (tensors(b"{}", size=2**63), ""),
    "a header longer than the file": (tensors(b"{}", size=10_000), ""),
    "a header that is no JSON": (tensors(b"{x"), ""),
    "a header that is deep": (lambda: tensors(b'{"a":' * 100_000), ""),
    "a header of blanks": (lambda: tensors(b"{}" + b" " * (8 << 20)), ""),
    "100,000 tensors of nothing": (
        lambda: tensors({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}),
        "",
    ),
    "a tensor of terabytes": (tensors(_one("F32", [2**40], (0, 2**42))), ""),
    "a shape that overflows": (tensors(_one("F32", [2**33, 2**33], (0, 4)), bytes(4)), ""),
    "offsets that overlap": (
        tensors(
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]},
            },
            bytes(6),
        ),
        "",
    ),
    "offsets that run backwards": (tensors(_one("F32", [1], (4, 0)), bytes(4)), ""),
    "a name twice": (
        tensors(
            b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],'
            b'"data_offsets":[4,8]}}',
            bytes(8),
        ),
        "",
    ),
    "bytes that no tensor owns": (tensors(_one("F32", [1], (0, 4)), bytes(400)), ""),
    "a type that is none": (tensors(_one("F99", [1], (0, 4)), bytes(4)), ""),
    "a pickle": (OBJECT, ""),
}
"""For each of the four readers; the reason is the library's, so only the file's name is asked for."""


def good_tensors(reader: str) -> dict[str, Any]:
    """The tensors of the good file of a reader."""
    from safetensors.torch import load

    return load(READERS[reader].good()[0])


def _retyped(reader: str, dtype: str) -> bytes:
    """All tensors of a good file in another type."""
    import torch
    from safetensors.torch import save

    kind = getattr(torch, dtype)
    return save({name: tensor.float().to(kind) for name, tensor in good_tensors(reader).items()})


def _spoiled(reader: str, value: float) -> bytes:
    from safetensors.torch import save

    state = good_tensors(reader)
    name = sorted(name for name, tensor in state.items() if tensor.is_floating_point())[0]
    state[name].view(-1)[0] = value
    return save(state)


def huge_weights(folder: Path, reader: str) -> Path:
    """A weights file of 8 GB that takes no room on the disk."""
    path = write(READERS[reader], folder)
    os.truncate(path, 8 << 30)
    return path


CARDS: dict[str, tuple[Callable[[dict[str, Any]], bytes | dict[str, Any]], str]] = {
    "empty": (lambda card: b"", "JSON"),
    "no text": (lambda card: b"\xff\xfe\xfd", "JSON"),
    "deep lists": (lambda card: b"[" * 100_000, "JSON"),
    "deep objects": (lambda card: b'{"a":' * 100_000, "JSON"),
    "deep in a field": (lambda card: json.dumps(card).encode()[:-1] + b',"x":' + b"[" * 90_000, "JSON"),
    "huge": (lambda card: json.dumps({**card, "x": "y" * (20 << 20)}).encode(), "larger than|too large"),
    "a number of 100,000 digits": (lambda card: b'{"format": ' + b"1" * 100_000 + b"}", "JSON"),
    "a list": (lambda card: b"[]", "card"),
    "null": (lambda card: b"null", "card"),
}

_STUDENT_CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "a backbone of no kind": ({"backbone": ["a"]}, "unhashable|backbone"),
    "a backbone from the network": ({"backbone": "hf-hub:evil/model"}, "unknown backbone"),
    "10,000 canvases": ({"canvases": list(range(32, 10_032))}, "canvases"),
    "canvases of text": ({"canvases": "abc"}, "canvas|int"),
    "a canvas of infinity": ({"canvases": [float("inf")]}, "infinity|canvas"),
    "a canvas of a million": ({"canvases": [10**6]}, "canvas"),
    "a head of a billion": ({"heads": [{"stride": 32, "grid": 1, "dim": 10**9, "share": 1.0}]}, "dim"),
    "a grid of a billion": ({"heads": [{"stride": 32, "grid": 10**9, "dim": 1, "share": 1.0}]}, "grid"),
    "a head of half a unit": ({"heads": [{"stride": 32, "grid": 1, "dim": 1.5, "share": 1.0}]}, "dim|heads"),
    "a share of NaN": ({"heads": [{"stride": 32, "grid": 1, "dim": 4, "share": float("nan")}]}, "share"),
    "heads that are none": ({"heads": 3}, "heads|iterable"),
    "photos of a million": ({"photo_side": 10**6}, "photo_side"),
    "photos of NaN": ({"photo_side": float("nan")}, "photo_side"),
    "a setting too many": ({"evil": 1}, "unknown student settings"),
}


_SELECTOR_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "100,000 canvases": ({"canvases": list(range(1, 100_001))}, "canvases"),
    "a network of a list": ({"selector": [1]}, "damaged"),
    "a network of no name": ({"selector": {"name": ["a"], "n_actions": 4}}, "damaged"),
    "a wide network": ({"selector": {"name": "stats", "n_actions": 4, "n_stats": 19, "hidden": 10**9}}, "damaged"),
    "a network of infinity": ({"selector": {"name": "stats", "n_actions": float("inf"), "n_stats": 3}}, "damaged"),
    "a config of a list": ({"config": []}, "damaged"),
    "a config of a text": ({"config": "env"}, "damaged"),
    "an environment of a list": ({"config": {"env": [1]}}, "damaged"),
    "canvases of a number": ({"canvases": 3}, "damaged"),
    "points of 10^400": ({"max_points": 10**400}, "max_points"),
}

_INDEX_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "10^400 photos": ({"photos": 10**400}, "'photos'"),
    "half a photo": ({"photos": 2.5}, "'photos'"),
    "a dimension of infinity": ({"dim": float("inf")}, "'dim'"),
    "a billion skipped": ({"skipped": 10**9}, "'skipped'"),
    "a student of a list": ({"student": ["a"]}, "'student'"),
    "a data set that is a path": ({"pictures": "dataset", "source": "../../etc:test"}, "no split"),
}


def _index_of(**changes: str) -> Callable[[], bytes]:
    """A good index with other texts in it."""

    def make() -> bytes:
        import torch
        from safetensors.torch import save

        texts = {name: torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8) for name, text in changes.items()}
        return save({**good_tensors("index"), **texts})

    return make


_INDEXES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name that slips out": (_index_of(ids="a\nb\n../../etc/passwd"), "not a path below"),
    "an absolute name": (_index_of(ids="a\nb\n/etc/passwd"), "not a path below"),
    "a terminal's commands": (_index_of(ids="a\nb\n\x1b]0;evil\x07"), "cannot be printed"),
    "a name twice": (_index_of(ids="a\nb\na"), "a name of its own"),
    "a long name": (_index_of(ids="a\nb\n" + "c" * 3_000), "longer than"),
    "a megabyte of lines": (_index_of(ids="\n" * (1 << 20)), "larger than"),
}

_CHECKPOINT_STATES: dict[str, tuple[str | None, str]] = {
    "none": (None, "not a checkpoint"),
    "no JSON": ("{", "not a checkpoint"),
    "deep": ("[" * 100_000, "not a checkpoint"),
    "a list": ("[]", "not a checkpoint"),
    "no config": ("{}", "not a checkpoint"),
    "a config of a list": ('{"config": [1]}', "not a checkpoint"),
    "a number of 100,000 digits": ("9" * 100_000, "not a checkpoint"),
}


def _checkpoint_state(state: str | None) -> bytes:
    metadata = {"format": "sketchcanvas-checkpoint-1"} | ({} if state is None else {"state": state})
    return tensors({"__metadata__": metadata, **_one("F32", [1], (0, 4))}, bytes(4))


def _in_config(changes: Card) -> Callable[[Card], Card]:
    return lambda card: {**card, "config": {**card["config"], **changes}}


def _of(reader: str) -> dict[str, Attack]:
    """What harms any reader of weights with a card."""
    values = {value: (lambda v=value: _spoiled(reader, float(v)), "NaN or infinity") for value in ("nan", "inf")}
    types = {
        f"weights of {kind}": (lambda k=kind: _retyped(reader, k), f"{kind}|larger than|F8_E4M3")
        for kind in ("bool", "int64", "complex64", "float8_e4m3fn", "float64")
    }
    return {
        **files(reader, SAFETENSORS),
        **cards(reader, CARDS),
        **files(reader, values),
        **files(reader, types),
        f"{reader}: weights of 8 GB": Attack(reader, lambda folder: huge_weights(folder, reader), "larger than"),
    }


ATTACKS: dict[str, Attack] = {
    **_of("student"),
    **_of("selector"),
    **_of("index"),
    **files("checkpoint", SAFETENSORS),
    **cards("student", {name: (_in_config(changes), why) for name, (changes, why) in _STUDENT_CONFIGS.items()}),
    **cards("selector", _SELECTOR_CARDS),
    **cards("index", _INDEX_CARDS),
    **files("index", _INDEXES),
    **files(
        "checkpoint",
        {name: (lambda s=state: _checkpoint_state(s), why) for name, (state, why) in _CHECKPOINT_STATES.items()},
        "checkpoint state",
    ),
}
