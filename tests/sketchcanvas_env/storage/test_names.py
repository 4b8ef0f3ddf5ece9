"""Names in large arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchcanvas_env.storage import names
from sketchcanvas_env.storage.names import NameList, Places, blocks, repeats

texts = st.lists(st.text("ab\u00e4\U0001f600", max_size=4), max_size=12)


def test_names_are_found_and_repetitions_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "BLOCK", 3)

    @given(texts, texts)
    def check(some: list[str], others: list[str]) -> None:
        assert repeats(np.array(some, dtype=np.str_)) == (len(set(some)) < len(some))
        unique = list(dict.fromkeys(some))
        found = Places(np.array(unique, dtype=np.str_)).of(np.array(others, dtype="U9"))
        assert found.tolist() == [unique.index(name) if name in unique else -1 for name in others]

    check()


def test_neither_width_nor_byte_order_changes_what_is_found() -> None:
    some = np.array(["a", "b", "ab", "ba", "abc", ""])
    for given_as in ("U40", ">U7", "U3"):
        for looked_in in ("U40", ">U7", "U3"):
            assert Places(some.astype(looked_in)).of(some.astype(given_as)).tolist() == [*range(6)]
    assert Places(np.array(["a", "ab"])).of(np.array(["abc", "ab"])).tolist() == [-1, 1]


def test_a_repetition_is_found_among_many() -> None:
    many = np.char.add("sketch-", np.arange(100_000).astype(str))
    assert not repeats(many)
    assert repeats(np.append(many, "sketch-77"))


def test_blocks_cover_everything_once() -> None:
    for length in (0, 1, names.BLOCK, names.BLOCK + 1, 3 * names.BLOCK):
        assert [i for block in blocks(length) for i in (block.start, block.stop)][1:-1:2] == [
            block.start for block in blocks(length)
        ][1:]
        assert sum(block.stop - block.start for block in blocks(length)) == length


@given(st.lists(st.text("ab\u00e4\U0001f600\udcff", max_size=4), max_size=12))
def test_a_list_of_names_returns_them(some: list[str]) -> None:
    kept = NameList()
    for name in some:
        kept.append(name)
    assert (len(kept), list(kept), kept.array().tolist()) == (len(some), some, some)
    assert [kept[place] for place in range(len(some))] == some
    for place in (-1, len(some)):
        with pytest.raises(IndexError, match=f"no name at {place} of {len(some)}"):
            kept[place]
