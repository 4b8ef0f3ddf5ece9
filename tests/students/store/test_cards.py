"""Tensors and their card in one file: round trips, and refusal of damaged files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save

from students.store import cards

CARD = {"name": "Müller", "costs": [1, 2.5], "nested": {"a": None, "b": [True, "x"]}}


def tensors() -> dict[str, torch.Tensor]:
    return {
        "head.weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
        "kernel": torch.arange(8, dtype=torch.float16).reshape(2, 2, 2),
        "steps": torch.tensor(7),
        "nothing": torch.zeros(0, 4),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    cards.write(tmp_path / "new" / "it.safetensors", tensors(), CARD, kind="selector")
    return tmp_path / "new" / "it.safetensors"


def read(path: Path, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return cards.read(path, "selector", lambda card: 1 << 20, **more)


def test_what_is_written_is_what_is_read(path: Path) -> None:
    card, found = read(path)
    assert {name: card[name] for name in CARD} == CARD
    assert cards.read_card(path, "selector") == card
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    assert os.listdir(path.parent) == ["it.safetensors"]
    # Any reader of safetensors reads the tensors.
    assert np.array_equal(load_file(path)["head.weight"], tensors()["head.weight"].numpy())


def test_numpy_arrays_are_read_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    arrays = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3).T, "b": np.zeros((2, 0))}
    digest = cards.write(path, arrays, {}, kind="index")
    script = (
        "import sys; from students.store import cards\n"
        f"card, found = cards.read({str(path)!r}, 'index', lambda card: 1000, 'numpy')\n"
        "assert 'torch' not in sys.modules\n"
        "print(card['sha256'], found['a'].tolist())"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == f"{digest} {arrays['a'].tolist()}\n"


def test_the_sha256_depends_on_the_tensors_only(path: Path, tmp_path: Path) -> None:
    import hashlib

    digest = cards.read_card(path, "selector")["sha256"]
    assert cards.write(tmp_path / "other", tensors(), {}, kind="student") == digest
    # Of the file that safetensors writes without a card.
    assert digest == hashlib.sha256(save(tensors(), {"format": "pt"})).hexdigest()
    changed = tensors() | {"steps": torch.tensor(8)}
    assert cards.write(tmp_path / "other", changed, {}, kind="student") != digest
    renamed = {("tail" if name == "head.weight" else name): tensor for name, tensor in tensors().items()}
    assert cards.write(tmp_path / "other", renamed, {}, kind="student") != digest


def test_every_changed_byte_of_the_tensors_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    for place in range(8 + size, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"damaged.*SHA-256"):
            read(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"not a readable safetensors file|damaged"):
            read(path)


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 8, b"\xff" * 64, b"cos\nsystem\n(S'true'\ntR.", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_files_that_are_not_safetensors(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "it").write_bytes(data)
    with pytest.raises(ValueError, match=r"not a readable safetensors file|holds no card"):
        read(tmp_path / "it")


def test_a_file_without_a_card_or_of_another_kind(path: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(save(tensors(), {"format": "pt"}))
    with pytest.raises(ValueError, match="plain holds no card"):
        read(tmp_path / "plain")
    with pytest.raises(ValueError, match="is not a student: its card says 'selector'"):
        cards.read_card(path, "student")
    with pytest.raises(FileNotFoundError):
        cards.read_card(tmp_path / "gone", "student")


def with_card(path: Path, text: str) -> None:
    """Replace the card's text."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"]["sketchcanvas"] = text
    changed = json.dumps(header).encode()
    path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + size :])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the card is not JSON"),
        ("[" * 100_000, "the card is not JSON"),
        ("[]", "is not a selector"),
        ('{"kind": "selector"}', "is not a selector"),
        ('{"kind": "selector", "sha256": 3}', "is not a selector"),
        ('{"kind": "selector", "kind": "selector"}', "two fields of one name"),
        ('"' + "x" * (1 << 20) + '"', "larger than 1,048,576 bytes"),
    ],
)
def test_damaged_cards(path: Path, text: str, message: str) -> None:
    with_card(path, text)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_what_is_larger_than_allowed_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_parse", None)
    with pytest.raises(ValueError, match="larger than the 50 bytes that its card describes"):
        cards.read(path, "selector", lambda card: 50)
    # A header that says it has 2^60 bytes.
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{" * 100)
    with pytest.raises(ValueError, match="its header is too large"):
        read(path)


@pytest.mark.parametrize("card", [{"a": float("nan")}, {"a": object()}, {"a": "x" * (1 << 20)}])
def test_a_card_that_cannot_be_written_leaves_the_old_file_whole(path: Path, card: dict[str, Any]) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is not written: its card is"):
        cards.write(path, tensors(), card, kind="selector")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["it.safetensors"]


def test_tensors_that_share_memory_or_skip_some_are_written(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    cards.write(tmp_path / "it", {"a": whole[::2], "b": whole, "c": whole}, {}, kind="selector")
    _, found = read(tmp_path / "it")
    assert found["a"].tolist() == [0, 2, 4, 6, 8]
    assert torch.equal(found["b"], found["c"])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a plain file"):
        cards.read_card(tmp_path / "pipe", "selector")
