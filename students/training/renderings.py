"""More training pairs for `emoji`: other artists' renderings of its `student` split, and drawings outside the data set.

    npm pack openmoji@17.0.0 @iconify-json/noto@1.2.9 @iconify-json/twemoji@1.2.5
    python -m students.training.renderings --archives . --out runs/renderings.npz

No identity of the splits `train`, `val` and `test` is used, nor any drawing that looks like one of theirs. The pictures
train students and are not shipped. Licences: OpenMoji CC BY-SA 4.0, Noto Emoji Apache 2.0, Twemoji CC BY 4.0.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from sketchcanvas_env.data import SPLITS, SketchDataset, load
from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.npz import write_npz
from sketchcanvas_env.svg.reader import SvgError, read_svg

OPENMOJI = "openmoji-17.0.0.tgz"
ICONIFY = ("iconify-json-noto-1.2.9.tgz", "iconify-json-twemoji-1.2.5.tgz")
SIDE = 144
ALIKE = 0.98
"""Cosine of two drawings' ink at 64 px above which they count as one (as in `tests.tools.build_emoji`)."""


@dataclass(frozen=True, eq=False)
class Renderings:
    """Further photos, and sketches for those identities that the data set does not have.

    Attributes:
        photos: (M, S, S, 3) uint8.
        photo_names: (M,) str, the identity that each shows.
        sketch_names: (N,) str, identities outside the data set.
        sketches: N drawings, one for each of `sketch_names`.
    """

    photos: NDArray[np.uint8]
    photo_names: NDArray[np.str_]
    sketch_names: NDArray[np.str_]
    sketches: tuple[VectorSketch, ...]


def read(path: str | Path) -> Renderings:
    """Read what `build` wrote.

    Raises:
        FileNotFoundError: no such file; the message says how to make it.
        ValueError: not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no renderings at {path}: make them with 'python -m students.training.renderings' (see --help)"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stroke5 = np.split(arrays["stroke5"], arrays["ends"][:-1])
            sketches = tuple(VectorSketch.from_stroke5(rows) for rows in stroke5)
            return Renderings(arrays["photos"], arrays["photo_names"], arrays["sketch_names"], sketches)
    except (KeyError, OSError) as error:
        raise ValueError(f"{path} holds no renderings: {error}") from None


def build(archives: Path, out: Path, dataset: SketchDataset, progress: bool = False) -> Renderings:
    """Render the published sets and write `out`.

    Args:
        archives: folder with the three npm archives.
        out: an .npz file.
        dataset: `emoji`; its held-out identities are left out.
        progress: show a progress bar on standard error.

    Raises:
        FileNotFoundError: an archive is missing; the message says how to get it.
    """
    from rich.console import Console
    from rich.progress import track

    missing = [name for name in (OPENMOJI, *ICONIFY) if not (archives / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{archives} lacks {missing}; get them with 'npm pack' as in {__name__}'s description")
    openmoji = _members(archives / OPENMOJI)
    known = {str(photo) for photo in dataset.photo_ids}
    held_out = {str(photo) for photo in dataset.photo_ids[dataset.split != SPLITS[0]]}
    entries = [e for e in json.loads(openmoji["package/data/openmoji.json"]) if not e["skintone"]]
    names = [e["hexcode"] for e in entries if e["hexcode"] not in held_out]

    fresh = {}
    for name in names:
        if name not in known:
            try:
                fresh[name] = read_svg(openmoji[f"package/black/svg/{name}.svg"]).simplified(0.002)
            except SvgError:
                continue  # a handful use features that the strict reader refuses
    fresh = _unlike_held_out(fresh, dataset)
    wanted = [name for name in names if name in known or name in fresh]

    sets = [{name: openmoji[f"package/color/svg/{name}.svg"] for name in wanted}]
    sets += [_icons(_members(archives / archive)) for archive in ICONIFY]
    jobs = [(name, svgs[key]) for svgs in sets for name in wanted if (key := _key(name, svgs)) is not None]
    bar = track(jobs, "rendering", console=Console(stderr=True), disable=not progress)
    drawn = [(name, photo) for name, svg in bar if (photo := _render(svg)) is not None]
    shown = {name for name, _ in drawn}
    fresh = {name: sketch for name, sketch in fresh.items() if name in shown}
    rows = [sketch.to_stroke5(sketch.n_points + 1) for sketch in fresh.values()]
    arrays = {
        "photos": np.stack([photo for _, photo in drawn]),
        "photo_names": np.array([name for name, _ in drawn]),
        "sketch_names": np.array(list(fresh)),
        "stroke5": np.concatenate(rows),
        "ends": np.cumsum([len(r) for r in rows]),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_npz(out, arrays)
    return read(out)


def _unlike_held_out(drawings: dict[str, VectorSketch], dataset: SketchDataset) -> dict[str, VectorSketch]:
    held_out = np.flatnonzero((dataset.split != SPLITS[0]) & (dataset.level == 0))
    theirs = _unit_ink([dataset.sketch(int(row)) for row in held_out])
    ours = _unit_ink(list(drawings.values()))
    nearest = (ours @ theirs.T).max(axis=1)
    return {name: d for (name, d), cosine in zip(drawings.items(), nearest, strict=True) if cosine <= ALIKE}


def _unit_ink(sketches: list[VectorSketch]) -> NDArray[np.float64]:
    ink = 255.0 - rasterise_batch(sketches, 64).reshape(len(sketches), -1)
    return np.asarray(ink / np.linalg.norm(ink, axis=1, keepdims=True))


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name: stream.read() for name, stream in files if stream is not None}


def _icons(members: dict[str, bytes]) -> dict[str, bytes]:
    """SVGs by code points, lower case without variation selectors, from one of Iconify's packages."""
    data: dict[str, Any] = json.loads(members["package/icons.json"])
    chars: dict[str, str] = json.loads(members["package/chars.json"])
    width, height = data.get("width", 16), data.get("height", 16)
    svgs = {}
    for code, name in chars.items():
        if (icon := data["icons"].get(name)) is None:
            continue
        box = f"0 0 {icon.get('width', width)} {icon.get('height', height)}"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{icon["body"]}</svg>'
        svgs[code.lower()] = svg.encode()
    return svgs


def _key(name: str, svgs: dict[str, bytes]) -> str | None:
    """How a set calls the code points `name`; None when it lacks them."""
    parts = name.lower().split("-")
    bare = "-".join(part for part in parts if part != "fe0f")
    return next((key for key in (name, name.lower(), bare) if key in svgs), None)


def _render(svg: bytes) -> NDArray[np.uint8] | None:
    """Draw a published SVG on white, (SIDE, SIDE, 3) uint8; None for one that CairoSVG cannot draw."""
    import cairosvg
    from PIL import Image

    try:
        png = cairosvg.svg2png(bytestring=svg, output_width=SIDE, output_height=SIDE, background_color="white")
    except AttributeError:  # what it raises for a reference to nothing
        return None
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def main(
    archives: Annotated[Path, typer.Option(help="Folder with the npm archives.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")] = Path("runs/renderings.npz"),
) -> None:
    """Render other artists' emoji as further training photos."""
    made = build(archives, out, load("emoji"), progress=True)
    typer.echo(f"{out}: {len(made.photos)} photos, {len(made.sketches)} drawings outside the data set")


if __name__ == "__main__":
    typer.run(main)
