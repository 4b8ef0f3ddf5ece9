"""Rebuild the embedded data set `emoji` from its two npm packages, bit by bit.

    npm pack openmoji@17.0.0 @lobehub/fluent-emoji-3d@1.1.0
    python -m tests.tools.build_emoji --openmoji openmoji-17.0.0.tgz \\
        --fluent lobehub-fluent-emoji-3d-1.1.0.tgz --out emoji_files

Needs only what `sketchcanvas_env` needs. The archives' own sha256 are checked first.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np

from sketchcanvas_env.data.emoji import FOLDER, GRID
from sketchcanvas_env.sketches.freehand import LEVELS, freehand, seed_of
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write
from sketchcanvas_env.storage.npz import write_npz
from sketchcanvas_env.svg.reader import read_svg

OPENMOJI_SHA256 = "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68"
FLUENT_SHA256 = "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"
GALLERY = 350
VAL = 150
FLATTEN = 0.002
"""Douglas-Peucker tolerance of the stored strokes: half a pixel at 256."""
ALIKE = 0.98
# U+1F195 is left out for its Fluent render; U+1F63A's render is byte for byte that of U+1F431.
LEFT_OUT = {"1F195", "1F63A"}


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openmoji", type=Path, required=True, help="openmoji-17.0.0.tgz from npm")
    parser.add_argument("--fluent", type=Path, required=True, help="lobehub-fluent-emoji-3d-1.1.0.tgz from npm")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: the package's own)")
    arguments = parser.parse_args()
    build(arguments.openmoji, arguments.fluent, arguments.out)


def build(openmoji: Path, fluent: Path, out: Path) -> None:
    """Write index.json, strokes.npz, photos.zip, CREDITS.json and the OpenMoji licence's text.

    Raises:
        ValueError: an archive is not the published one.
    """
    drawings = _members(openmoji, OPENMOJI_SHA256)
    renders = _members(fluent, FLUENT_SHA256)
    pairs = _pairs(drawings, renders)
    clean = {p["id"]: read_svg(drawings[f"package/black/svg/{p['id']}.svg"]).simplified(FLATTEN) for p in pairs}
    split = _splits(clean)

    points, pens, ends = [], [], []
    for pair in pairs:
        pair["split"] = split[pair["id"]]
        for level, roughness in enumerate(LEVELS):
            rng = np.random.RandomState(seed_of(f"{pair['id']}/{level}"))
            sketch = freehand(clean[pair["id"]], roughness, rng) if level else clean[pair["id"]]
            stored, last = _stored(sketch)
            points.append(stored)
            pens.append(last)
            ends.append(len(stored))

    credits = [{"id": p["id"], "author": p.pop("author"), "date": p.pop("date")} for p in pairs]
    train = sorted(p["id"] for p in pairs if p["split"] == "train")
    distractors = np.random.RandomState(1).permutation(train)[: GALLERY - VAL]
    index = {
        "sources": {
            "sketches": {
                "package": "npm openmoji@17.0.0",
                "sha256": OPENMOJI_SHA256,
                "licence": "CC BY-SA 4.0",
            },
            "photos": {
                "package": "npm @lobehub/fluent-emoji-3d@1.1.0",
                "sha256": FLUENT_SHA256,
                "licence": "MIT",
            },
        },
        "levels": len(LEVELS),
        "val_distractors": sorted(distractors.tolist()),
        "photos": pairs,
    }
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "index.json", _json(index))
    _write(out / "CREDITS.json", _json(credits))
    _write(out / "LICENSE-openmoji.txt", drawings["package/LICENSE.txt"])
    arrays = {
        "points": np.concatenate(points),
        "pens": np.concatenate(pens),
        "ends": np.cumsum(ends, dtype=np.int64),
    }
    # Stored, not compressed: the bytes must not depend on a version of zlib.
    write_npz(out / "strokes.npz", arrays, compress=False)
    with atomic_write(out / "photos.zip") as path, zipfile.ZipFile(path, "w") as archive:
        for pair in pairs:
            info = zipfile.ZipInfo(pair["file"], date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(info, renders[f"package/assets/{pair['file']}"])


def _members(archive: Path, expected: str) -> dict[str, bytes]:
    data = archive.read_bytes()
    digest = sha256(data).hexdigest()
    if digest != expected:
        raise ValueError(f"{archive} is not the published archive: sha256 {digest}, expected {expected}")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name: stream.read() for name, stream in files if stream is not None}


def _pairs(drawings: dict[str, bytes], renders: dict[str, bytes]) -> list[dict[str, str]]:
    """One entry a code point sequence that both sets have, in Unicode's order, without skin tones and flags."""
    fluent = {_bare(Path(name).stem): Path(name).name for name in renders if name.endswith(".webp")}
    pairs = []
    for entry in json.loads(drawings["package/data/openmoji.json"]):
        code = entry["hexcode"]
        file = fluent.get(_bare(code))
        if file is None or entry["skintone"] or entry["group"] == "flags" or code in LEFT_OUT:
            continue
        pairs.append(
            {
                "id": code,
                "name": entry["annotation"],
                "group": entry["group"],
                "subgroup": entry["subgroups"],
                "author": entry["openmoji_author"],
                "date": entry["openmoji_date"],
                "file": file,
                "sha256": sha256(renders[f"package/assets/{file}"]).hexdigest(),
            }
        )
    return pairs


def _bare(code: str) -> str:
    """A code point sequence in lower case without variation selectors, which the two packages use differently."""
    return "-".join(part for part in code.lower().split("-") if part != "fe0f")


def _splits(clean: dict[str, VectorSketch]) -> dict[str, str]:
    """A split for every id: 350 train, 150 val, 350 test, the rest student.

    Many drawings are shared, in all or nearly all of their strokes: a brown heart and an orange one, a man and a
    blond man. No retriever could tell which of the photos such a sketch means, so all of them go to `student`: a
    query of the other splits has one answer, and no student has met its drawing under another name.
    """
    groups = _groups(clean)
    single = [group[0] for group in groups if len(group) == 1]
    shuffled = [single[i] for i in np.random.RandomState(0).permutation(len(single))]
    split = dict.fromkeys(clean, "student")
    start = 0
    for name, size in (("test", GALLERY), ("train", GALLERY), ("val", VAL)):
        split |= dict.fromkeys(shuffled[start : start + size], name)
        start += size
    return split


def _groups(clean: dict[str, VectorSketch]) -> list[list[str]]:
    """Ids whose drawings are alike, directly or by way of others: the cosine of their ink at 64 px is over 0.98."""
    ink = 255.0 - rasterise_batch(list(clean.values()), 64).reshape(len(clean), -1)
    ink /= np.linalg.norm(ink, axis=1, keepdims=True)
    alike = ink @ ink.T > ALIKE
    ids = list(clean)
    left = set(range(len(ids)))
    groups = []
    for first in range(len(ids)):
        group, fresh = [], {first} & left
        while fresh:
            left -= fresh
            group += sorted(fresh)
            fresh = left & set(np.flatnonzero(alike[sorted(fresh)].any(axis=0)).tolist())
        if group:
            groups.append([ids[i] for i in group])
    return groups


def _stored(sketch: VectorSketch) -> tuple[np.ndarray, np.ndarray]:
    """Points (P, 2) uint16 on the grid and (P,) bool, true on the last point of a stroke."""
    points, last = [], []
    for stroke in sketch.strokes:
        grid = np.rint(stroke.astype(np.float64) * GRID).astype(np.uint16)
        # Neighbours that fall on one grid point say nothing twice; a dot keeps its one point.
        fresh = np.concatenate([[True], (np.diff(grid.astype(np.int32), axis=0) != 0).any(axis=1)])
        grid = grid[fresh]
        points.append(grid)
        last.append(np.arange(len(grid)) == len(grid) - 1)
    return np.concatenate(points), np.concatenate(last)


def _json(value: object) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=0) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as temporary:
        Path(temporary).write_bytes(data)


if __name__ == "__main__":
    main()
