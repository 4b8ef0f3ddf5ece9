"""Names in large arrays: found exactly, whatever their 64 bits say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchcanvas_env.storage import names
from sketchcanvas_env.storage.names import NameList, Places, blocks, repeats

texts = st.lists(st.text("ab\u00e4\U0001f600", max_size=4), max_size=12)


@pytest.fixture(params=["as it is", "all alike", "few"])
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also hashes that tell little or nothing apart."""
    real = names._hashes
    few = {"as it is": real, "all alike": lambda n: real(n) * np.uint64(0), "few": lambda n: real(n) % np.uint64(3)}
    monkeypatch.setattr(names, "_hashes", few[request.param])
    monkeypatch.setattr(names, "BLOCK", 3)


@pytest.mark.usefixtures("hashing")
def test_names_are_found_and_repetitions_seen() -> None:
    @given(texts, texts)
    def check(some: list[str], others: list[str]) -> None:
        assert repeats(np.array(some, dtype=np.str_)) == (len(set(some)) < len(some))
        unique = list(dict.fromkeys(some))
        found = Places(np.array(unique, dtype=np.str_)).of(np.array(others, dtype="U9"))
        assert found.tolist() == [unique.index(name) if name in unique else -1 for name in others]

    check()


def test_the_hash_does_not_see_the_width_and_sees_the_rest() -> None:
    some = np.array(["a", "b", "ab", "ba", "abc", ""])
    assert (names._hashes(some) == names._hashes(some.astype("U40"))).all()
    assert (names._hashes(some) == names._hashes(some.astype(">U7"))).all()
    many = np.char.add("sketch-", np.arange(100_000).astype(str))
    assert len(np.unique(names._hashes(many))) == len(many)
    assert not repeats(many)
    assert repeats(np.append(many, "sketch-77"))


def test_blocks_cover_everything_once() -> None:
    for length in (0, 1, names.BLOCK, names.BLOCK + 1, 3 * names.BLOCK):
        assert [i for block in blocks(length) for i in (block.start, block.stop)][1:-1:2] == [
            block.start for block in blocks(length)
        ][1:]
        assert sum(block.stop - block.start for block in blocks(length)) == length


@given(st.lists(st.text("ab\u00e4\U0001f600\udcff", max_size=4), max_size=12))
def test_a_list_of_names_gives_them_back(some: list[str]) -> None:
    kept = NameList()
    for name in some:
        kept.append(name)
    assert (len(kept), list(kept), kept.array().tolist()) == (len(some), some, some)
    assert [kept[place] for place in range(len(some))] == some
    for place in (-1, len(some)):
        with pytest.raises(IndexError, match=f"no name at {place} of {len(some)}"):
            kept[place]
