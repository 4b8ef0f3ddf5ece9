"""Builds an index: reads pictures and embeds them in blocks, several threads at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.data.pictures.photos import SIDE
from students.network.protocol import UNSAVED, Embedder
from students.search.index import KIND, MAX_REASON, PhotoIndex, file_of, load, whole_name
from students.search.pictures import DATASET, PICTURES, Pictures, open_pictures
from students.store import cards, provenance
from students.tables import blocks
from students.tables.blocks import BlockFile

TOGETHER = 8
"""Pictures that one thread reads and then embeds."""

Advance = Callable[[int], object]
"""Progress callback: number of pictures just finished."""


def build(
    student: Embedder,
    name: str,
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    strict: bool = False,
    progress: bool = False,
    half: bool = False,
    threads: int = 1,
) -> PhotoIndex:
    """Embed pictures into an index file; a killed build resumes from the folder `<path>.unfinished`.

    If `path` already holds an index of the same folder, student and versions, only files with another size or
    modification time are embedded again. Pictures are padded to a white square and embedded in blocks of
    `students.tables.blocks.BLOCK`, each stored as soon as it is done. The index depends neither on threads and blocks
    nor on interruptions.

    Args:
        student: frozen, and saved.
        name: the student's name or path, as `students.load` takes it; stored in the index.
        source: a folder, searched recursively for files that end in one of `PICTURES`; or "NAME:SPLIT", the gallery of
            a shipped data set, with `ALL` as the split for all its galleries.
        path: the index file, with or without ".safetensors".
        strict: raise for a file that cannot be used, instead of leaving it out.
        progress: show a progress bar on standard error.
        half: see `PhotoIndex.save`.
        threads: number of threads that read and embed. A student that is not `parallel` embeds in one thread at a
            time, while the others read.

    Returns:
        The index as written; `skipped` names the files that were left out.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no usable picture, a student that was never saved, or an unusable file with `strict`.
        OSError: the disk is full; finished blocks are kept.
    """
    from rich.console import Console
    from rich.progress import Progress

    if student.weights_hash == UNSAVED:
        raise ValueError("the student was never saved, so its embeddings cannot be told from others: save it first")
    pictures = open_pictures(source)
    file = file_of(path)
    folder = file.with_name(f"{file.stem}.unfinished")
    versions = provenance.versions((*provenance.PACKAGES, "sketchcanvas"))
    settings = {
        "pictures": pictures.fingerprint,
        "student_hash": student.weights_hash,
        "versions": versions,
        "block": blocks.BLOCK,
    }
    known = {} if pictures.kind == DATASET else _known(path, student.weights_hash, versions, pictures)
    rows = folder / f"{blocks.key(settings)}.photos"
    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("pictures", total=len(pictures.ids))
        embeddings, reasons = _embed(student, pictures, known, rows, threads, lambda n: bar.advance(task, n))
    bad = [(one, str(reason)) for one, reason in zip(pictures.ids, reasons, strict=True) if reason]
    skipped = (*pictures.skipped, *bad)
    if strict and skipped:
        raise ValueError("\n  ".join([f"{len(skipped)} files of {source} cannot be used", *map(": ".join, skipped)]))
    good = np.flatnonzero(reasons == "")
    if not len(good):
        first = f", the first: {': '.join(skipped[0])}" if skipped else ""
        raise ValueError(f"{source} holds no picture that can be used ({', '.join(PICTURES)}){first}")
    index = PhotoIndex(
        ids=tuple(pictures.ids[place] for place in good),
        embeddings=embeddings[good],
        student=whole_name(name),
        student_hash=student.weights_hash,
        kind=pictures.kind,
        source=pictures.source,
        skipped=skipped,
        states=pictures.states[good],
    )
    index.save(path, half)
    # Also the files of earlier builds of the folder before it changed; a build that still runs keeps its file open.
    for left in folder.glob("*.photos"):
        left.unlink(missing_ok=True)
    with suppress(OSError):  # not there, or not empty
        folder.rmdir()
    return index


def _known(
    path: str | os.PathLike[str], student_hash: str, versions: Mapping[str, str], pictures: Pictures
) -> dict[str, NDArray[np.float32]]:
    """Embeddings, by name, of pictures that have not changed since an earlier build to the same path."""
    try:
        card, before = cards.read_card(file_of(path), KIND), load(path)
    except (OSError, ValueError):  # missing or damaged: it is replaced
        return {}
    if before.states is None or before.student_hash != student_hash or card.get("versions") != versions:
        return {}
    if before.source != pictures.source:
        return {}
    now = dict(zip(pictures.ids, pictures.states.tolist(), strict=True))
    rows = zip(before.ids, before.states.tolist(), before.embeddings, strict=True)
    return {name: embedding for name, state, embedding in rows if now.get(name) == state}


def _embed(
    student: Embedder,
    pictures: Pictures,
    known: Mapping[str, NDArray[np.float32]],
    rows: Path,
    threads: int,
    advance: Advance,
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Embeddings (n, D), zero for unusable pictures, and (n,) reasons, empty for usable ones."""
    if not pictures.ids:
        return np.empty((0, 1), np.float32), np.empty(0, np.str_)
    dim = student.embed_photos(np.full((1, SIDE, SIDE, 3), 255, np.uint8)).shape[1]
    columns = {"embedding": (np.float32, (dim,)), "reason": (f"U{MAX_REASON}", ())}
    turn: AbstractContextManager[object] = nullcontext() if getattr(student, "parallel", False) else Lock()
    with BlockFile(rows, columns, len(pictures.ids)) as stored, ThreadPoolExecutor(threads) as pool:
        for slice_, done in stored.blocks(0, len(pictures.ids)):
            if not done:
                block = _Block(student, pictures.read, pictures.ids[slice_], dim, turn)
                new = block.take_over(known)
                # Consumed, so that what a thread raises is raised here.
                list(pool.map(block.fill, (new[first : first + TOGETHER] for first in range(0, len(new), TOGETHER))))
                stored.store(slice_, embedding=block.embeddings, reason=block.reasons)
            advance(slice_.stop - slice_.start)
    return stored.rows["embedding"], stored.rows["reason"]


class _Block:
    """Pictures that are stored together."""

    def __init__(
        self,
        student: Embedder,
        read: Callable[[str], NDArray[np.uint8]],
        names: Sequence[str],
        dim: int,
        turn: AbstractContextManager[object],
    ) -> None:
        self._student, self._read, self._names, self._turn = student, read, names, turn
        self.embeddings = np.zeros((len(names), dim), np.float32)
        self.reasons = np.full(len(names), "", f"U{MAX_REASON}")

    def take_over(self, known: Mapping[str, NDArray[np.float32]]) -> list[int]:
        """Copy known embeddings; returns the places of all other pictures."""
        for place, name in enumerate(self._names):
            if name in known:
                self.embeddings[place] = known[name]
        return [place for place, name in enumerate(self._names) if name not in known]

    def fill(self, places: Sequence[int]) -> None:
        """Read and embed the pictures at some places; called by several threads."""
        good, images = [], []
        for place in places:
            try:
                images.append(self._read(self._names[place]))
                good.append(place)
            except ValueError as error:
                self.reasons[place] = " ".join(str(error).split())  # a line of its own
        if good:
            with self._turn:
                self.embeddings[good] = self._student.embed_photos(np.stack(images))
