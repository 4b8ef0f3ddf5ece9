"""Mutated files: a value or the promised error, nothing else; `python -m tests.hostile.fuzz` looks for longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.fuzz import CORPUS, check, strategies

STRATEGIES = strategies()
EXAMPLES = {"student card": 40}


@pytest.mark.parametrize("target", STRATEGIES)
def test_any_file_gives_a_value_or_the_promised_error(target: str, tmp_path: Path) -> None:
    @settings(
        max_examples=EXAMPLES.get(target, 150),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def attempt(data: Any) -> None:
        check(target, data.draw(STRATEGIES[target]), tmp_path)

    attempt()


@pytest.mark.parametrize("file", sorted(path.name for path in CORPUS.iterdir()))
def test_what_was_found_stays_mended(file: str, tmp_path: Path) -> None:
    check(file.partition("-")[0].replace("_", " "), (CORPUS / file).read_bytes(), tmp_path)


def test_the_corpus_is_there() -> None:
    assert any(CORPUS.iterdir())
