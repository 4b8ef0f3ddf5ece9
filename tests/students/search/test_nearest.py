"""The nearest photos in large galleries: equal to measuring everything, whoever finds the candidates."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest

from students.search import nearest as module
from students.search.nearest import nearest_photos
from students.tables import ranking
from students.tables.ranking import euclidean, nearest

DIM, SIZE = 24, 3000
ENGINES = ("numpy", "faiss", "auto")


@pytest.fixture(autouse=True)
def _faiss_is_there() -> None:
    pytest.importorskip("faiss")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def galleries() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(7, DIM))
    few = unit(rng.normal(size=(40, DIM)))
    cluster = unit(centres[rng.integers(0, 7, SIZE)] + 1e-4 * rng.normal(size=(SIZE, DIM)))
    return {
        "random": unit(rng.normal(size=(SIZE, DIM))),
        "clustered": unit(centres[rng.integers(0, 7, SIZE)] + 0.05 * rng.normal(size=(SIZE, DIM))),
        "closer than single precision tells": cluster,
        "each many times": few[rng.integers(0, 40, SIZE)],
        "all the same": np.repeat(few[:1], SIZE, axis=0),
        "neighbours by one bit": np.nextafter(np.repeat(few[:1], SIZE, axis=0), rng.integers(-1, 2, (SIZE, DIM)) * 9.0)
        .astype(np.float32),
    }  # fmt: skip


GALLERIES = galleries()


@pytest.mark.parametrize("name", GALLERIES)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_answer_is_that_of_measuring_everything(name: str, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FAISS_FROM", 2500)
    gallery = GALLERIES[name]
    rng = np.random.default_rng(1)
    far = unit(rng.normal(size=(5, DIM)))
    queries = np.concatenate([far, gallery[:5], unit(gallery[5:10] + 1e-3 * rng.normal(size=(5, DIM))), -gallery[:2]])
    between = euclidean(queries, gallery)
    for k in (1, 5, 40):
        places, distances = nearest_photos(queries, gallery, k, engine)
        np.testing.assert_array_equal(places, nearest(between, k))
        np.testing.assert_array_equal(distances, np.take_along_axis(between, places, axis=1))
        alone = nearest_photos(queries[3:4], gallery, k, engine)
        np.testing.assert_array_equal(alone[0][0], places[3])
        np.testing.assert_array_equal(alone[1][0], distances[3])


@pytest.mark.parametrize("width", [1, 16, ranking._SORTED, ranking._SORTED + 1, 350])
def test_nearest_puts_the_first_of_equals_first(width: int) -> None:
    """However it is found: rows of any width, with many ties."""
    distances = np.random.default_rng(6).integers(0, 9, (40, width)) / 7.0
    for k in (1, 5, width, width + 3):
        expected = [
            sorted(range(width), key=lambda column, line=line: (line[column], column))[:k] for line in distances
        ]
        assert nearest(distances, k).tolist() == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_small_galleries(engine: str) -> None:
    gallery = GALLERIES["random"]
    queries = gallery[:3]
    for size in (1, 4, 33, 100):
        places, distances = nearest_photos(queries, gallery[:size], 10, engine)
        assert places.shape == distances.shape == (3, min(10, size))
        np.testing.assert_array_equal(places, nearest(euclidean(queries, gallery[:size]), 10))
    everything = nearest_photos(queries, gallery, SIZE + 7, engine)[0]
    assert np.array_equal(np.sort(everything, axis=1), np.tile(np.arange(SIZE), (3, 1)))
    assert nearest_photos(queries[:0], gallery, 3, engine)[0].shape == (0, 3)


@pytest.mark.parametrize("engine", ["numpy", "faiss"])
def test_only_doubtful_queries_are_measured_whole(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing is saved, or something is missed."""
    measured: list[int] = []
    whole = module._measured

    def counting(queries: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        measured.append(len(queries))
        return whole(queries, gallery, k)

    monkeypatch.setattr(module, "_measured", counting)
    gallery = GALLERIES["random"].copy()
    nearest_photos(unit(np.random.default_rng(2).normal(size=(20, DIM))), gallery, 5, engine)
    assert measured == []
    gallery[100:140] = gallery[99]  # 41 equal photos: which of them come first is not for single precision to say
    places, _ = nearest_photos(gallery[[7, 99]], gallery, 5, engine)
    assert measured == []  # more candidates were enough
    assert places[1].tolist() == [99, 100, 101, 102, 103]
    gallery[100:2100] = gallery[99]
    places, _ = nearest_photos(gallery[[7, 99]], gallery, 5, engine)
    assert measured == [1]
    assert places[1].tolist() == [99, 100, 101, 102, 103]


def test_an_engine_that_lies_a_little_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products off by the most that rounding may do, so that wrong candidates come first."""
    gallery = GALLERIES["closer than single precision tells"]
    queries = unit(gallery[:6] + 1e-3)
    rng = np.random.default_rng(3)
    exact = euclidean(queries, gallery)

    def candidates(queries: np.ndarray, gallery: np.ndarray, m: int) -> Iterator[tuple[float, np.ndarray]]:
        noise = rng.uniform(-1, 1, (len(queries), SIZE)) * module._error(DIM) * 0.99
        for products in queries.astype(float) @ gallery.T.astype(float) + noise:
            found = np.argsort(-products)[:m]
            yield float(products[found[-1]]), np.sort(found)

    monkeypatch.setattr(module, "_by_numpy", candidates)
    places, distances = nearest_photos(queries, gallery, 5, "numpy")
    np.testing.assert_array_equal(places, nearest(exact, 5))
    np.testing.assert_array_equal(distances, np.take_along_axis(exact, places, axis=1))


@pytest.mark.parametrize("dim", [3, 576, 2304])
def test_the_bound_of_rounding_holds(dim: int) -> None:
    rng = np.random.default_rng(dim)
    some = unit(np.abs(rng.normal(size=(400, dim))))  # all of one sign: errors add up
    single = (some @ some.T).astype(np.float64)
    double = some.astype(np.float64) @ some.T.astype(np.float64)
    assert 0 < np.abs(single - double).max() < module._error(dim)


def test_faiss_is_chosen_where_it_pays_and_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    for name in ("_by_numpy", "_by_faiss"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, n=name, r=real: (used.append(n), r(*args))[1])
    gallery, queries = GALLERIES["random"], GALLERIES["random"][:4]
    nearest_photos(queries[:1], gallery, 3)
    monkeypatch.setattr(module, "FAISS_FROM", SIZE)
    nearest_photos(queries[:1], gallery, 3)
    nearest_photos(queries, gallery, 3)
    monkeypatch.setattr(module, "FAISS_QUERIES", 4)
    nearest_photos(queries, gallery, 3)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    nearest_photos(queries, gallery, 3)
    assert used == ["_by_numpy", "_by_faiss", "_by_numpy", "_by_faiss", "_by_numpy"]
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sketchcanvas\[faiss\]'"):
        nearest_photos(queries, gallery, 3, "faiss")


def test_arguments_that_cannot_be() -> None:
    gallery = GALLERIES["random"]
    for queries, photos, k, engine, message in (
        (gallery[:2], gallery, 0, "auto", "at least 1"),
        (gallery[:2], gallery, 3, "annoy", "unknown engine 'annoy': there are auto, numpy, faiss"),
        (gallery[:2], gallery[:0], 3, "auto", "gallery"),
        (gallery[0], gallery, 3, "auto", "queries"),
        (gallery[:2, 1:], gallery, 3, "auto", "queries"),
        (gallery[:2] * 2, gallery, 3, "auto", "length 1"),
        (gallery[:2] * np.nan, gallery, 3, "auto", "length 1"),
    ):
        with pytest.raises(ValueError, match=message):
            nearest_photos(queries, photos, k, engine)


def test_neither_faiss_nor_torch_is_imported_for_small_galleries() -> None:
    import subprocess

    code = "import sys, students.search.nearest; assert not {'faiss', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_few_queries_pay_for_candidates_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = unit(np.random.default_rng(4).normal(size=(350, DIM)))
    query = unit(np.random.default_rng(5).normal(size=(2, DIM)))
    between = euclidean(query, gallery)
    wanted = nearest(between, 10)
    monkeypatch.setattr(module, "_measured", None)  # whoever asks for the whole gallery fails
    places, distances = nearest_photos(query, gallery, 10)
    np.testing.assert_array_equal(places, wanted)
    np.testing.assert_array_equal(distances, np.take_along_axis(between, wanted, axis=1))
    with pytest.raises(TypeError):
        nearest_photos(np.repeat(query, 25, axis=0), gallery, 10)
