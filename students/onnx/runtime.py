"""Runs exported networks with onnxruntime and NumPy, without torch.

A folder written by `sketchcanvas export` holds, for each exported network, a card and ONNX graphs:

    student.json         the card: hashes of all files, FLOPs, tolerance
    student-32.onnx ...  one graph for each canvas, and student-photo.onnx for photos
    student.bin          the weights that the graphs share
    selector.json, selector.onnx   (`agents.onnx.selector` reads these)

    >>> student = OnnxStudent.load("runs/onnx")  # doctest: +SKIP
    >>> student.embed([sketch], 64)              # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.outcomes.columns import check_canvases
from sketchcanvas_env.sketches.raster import check_side, rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import read_json
from students.network.protocol import batch_of

FORMAT = 1
"""Version of the cards; another one is refused."""

STUDENT, STUDENT_INT8, SELECTOR = "student", "student-int8", "selector"
"""Networks that a folder may hold; the stems of their cards and graphs."""

PRECISIONS = {"float32": STUDENT, "int8": STUDENT_INT8}
"""Precision of a student's arithmetic -> stem."""

PHOTO = "photo"
MAX_CARD_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 30
"""Largest file that is read; the shipped student's weights have 9 MB, a VGG-16's 60 MB."""

MAX_FOLDED_BYTES = 16 << 20
"""Largest constant that onnxruntime may compute while it loads a graph; norms folded into weights do not count."""

_WAY_OUT = "export it again, or use engine='torch'"

MAX_REASON = 300
"""Most characters that an error message quotes of a text that depends on a file."""


class OnnxStudent:
    """An exported student: embeds sketches and photos as the torch student does, within the card's tolerance.

    Sketches at int8 are compared with photos at float32, which are embedded once and beforehand.

    Attributes:
        card: the fields of the card.
        name: name of the exported student with "-onnx" or "-onnx-int8", as their outcomes differ slightly.
        weights_hash: SHA-256 (hex) of the exported student's weights; an index of that student can be searched.
        canvases: sides in pixels, rising.
        dim: length of an embedding.
        parallel: whether several threads may embed at once.
    """

    parallel = True

    def __init__(
        self, card: Mapping[str, Any], open_domain: Callable[[str], tuple[Any, Path]], photos: OnnxStudent | None = None
    ) -> None:
        """`load` and `students.onnx.graphs.load` make one.

        Args:
            card: what the network is.
            open_domain: the session of a canvas ("32") or of photos (`PHOTO`), and the file that its graph is from.
            photos: embeds the photos, None for itself.
        """
        self.card = card
        self.name = f"{card['name']}-onnx" + ("-int8" if card["precision"] == "int8" else "")
        self.weights_hash = str(card["source"]["weights_sha256"])
        self.canvases = check_canvases([one["side"] for one in card["canvases"]])
        self.dim = int(card["dim"])
        self._flops = {int(one["side"]): float(one["flops"]) for one in card["canvases"]}
        if not all(0.0 < flops < math.inf for flops in self._flops.values()):
            raise ValueError("it needs finite FLOPs above 0 for each canvas")
        self.batch: int | None = (
            None  # pictures embedded at once; None: `students.network.protocol.batch_of` their side
        )
        self._photos = photos
        if photos is None:
            self._photo_side = check_side(card["photo"]["side"])
        elif photos.weights_hash != self.weights_hash:
            raise ValueError("the float32 export beside it is of another student")
        self._open_domain = open_domain
        # A graph is loaded when it is first used: most users need one or two of nine.
        self._run = lru_cache(maxsize=None)(self._open)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], precision: str = "float32", threads: int = 0) -> OnnxStudent:
        """Read an exported student; each graph's hash is checked when it is opened.

        Args:
            folder: written by `sketchcanvas export --onnx`.
            precision: "float32", or "int8" where it was exported, too.
            threads: that one embedding may use, 0 for all the machine has.

        Raises:
            ImportError: onnxruntime is not installed.
            FileNotFoundError: no such export in the folder.
            ValueError: a damaged card, an unknown precision.
        """
        require_onnxruntime()
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; there are {', '.join(PRECISIONS)}")
        path = Path(folder)
        card = read_card(path, PRECISIONS[precision])
        try:
            if card["precision"] != precision:
                raise ValueError(f"its precision is {card['precision']!r}")
            files = {str(one["side"]): str(one["file"]) for one in card["canvases"]}
            if precision == "float32":
                files[PHOTO] = str(card["photo"]["file"])

            def open_domain(domain: str) -> tuple[Any, Path]:
                return open_graph(path, card, files[domain], threads), path / files[domain]

            return cls(card, open_domain, cls.load(folder, threads=threads) if precision == "int8" else None)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path / PRECISIONS[precision]}.json is damaged: {repr(error)[:MAX_REASON]}") from None

    def flops(self, canvas: int) -> float:
        """FLOPs (2 x MAC; convolutions of trunk and head) of one sketch; the exported student's own count."""
        return self._flops[self._checked(canvas)]

    def embed(
        self, sketches: Sequence[VectorSketch], canvas: int, batch_size: int | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Embed n sketches, each drawn at `canvas` pixels a side -> (n, dim) float32 unit vectors.

        Raises:
            ValueError: a canvas that was not exported.
        """
        run = self._run(str(self._checked(canvas)))
        parts = self._parts(len(sketches), canvas, batch_size, progress)
        return self._joined(run(rasterise_batch(sketches[part], canvas)) for part in parts)

    def embed_rasters(self, rasters: NDArray[np.uint8], batch_size: int | None = None) -> NDArray[np.float32]:
        """Embed sketches already drawn, (n, S, S) uint8 with S one of the canvases -> (n, dim) float32.

        Raises:
            ValueError: another shape, type or side.
        """
        if rasters.ndim != 3 or rasters.shape[1] != rasters.shape[2] or rasters.dtype != np.uint8:
            raise ValueError(f"rasters must be (B, S, S) uint8, got {rasters.shape} {rasters.dtype}")
        run = self._run(str(self._checked(rasters.shape[1])))
        parts = self._parts(len(rasters), rasters.shape[1], batch_size)
        return self._joined(run(np.ascontiguousarray(rasters[part])) for part in parts)

    def embed_photos(self, images: NDArray[np.uint8], batch_size: int | None = None) -> NDArray[np.float32]:
        """Embed photos (n, H, W, 3) uint8 -> (n, dim) float32 unit vectors, at float32 always.

        Raises:
            ValueError: another shape or type.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"photos must be (B, H, W, 3) uint8, got {images.shape} {images.dtype}")
        if self._photos is not None:
            return self._photos.embed_photos(images, batch_size)
        run = self._run(PHOTO)
        parts = self._parts(len(images), self._photo_side, batch_size)
        return self._joined(run(resized(images[part], self._photo_side)) for part in parts)

    def warm_up(self, canvases: Iterable[int] | None = None) -> None:
        """Load the graphs of some canvases (all if None) and run each once, before answers are timed.

        Raises:
            ValueError: a canvas that was not exported, or a graph that cannot be run.
        """
        for canvas in self.canvases if canvases is None else canvases:
            self.embed_rasters(np.full((1, canvas, canvas), 255, np.uint8))

    def _checked(self, canvas: int) -> int:
        if canvas not in self._flops:
            raise ValueError(f"this student was not exported for canvas {canvas}; it has {list(self.canvases)}")
        return int(canvas)

    def _parts(self, n: int, side: int, batch_size: int | None, progress: bool = False) -> Iterable[slice]:
        """Batches of n pictures of a side."""
        size = next(one for one in (batch_size, self.batch, batch_of(side)) if one is not None)
        if size < 1:
            raise ValueError(f"batch_size must be at least 1, got {size}")
        parts = [slice(start, start + size) for start in range(0, n, size)]
        if not progress:
            return parts
        from rich.progress import track

        return track(parts, description="embedding sketches")

    def _joined(self, parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate([np.empty((0, self.dim), np.float32), *parts])

    def _open(self, domain: str) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """The function that embeds inputs of one domain."""
        session, path = self._open_domain(domain)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        side = self._photo_side if domain == PHOTO else int(domain)
        wanted = [side, side, 3] if domain == PHOTO else [side, side]
        kind = "tensor(float)" if domain == PHOTO else "tensor(uint8)"
        if (len(inputs), len(outputs)) != (1, 1) or (inputs[0].shape[1:], inputs[0].type) != (wanted, kind):
            found = [(one.shape, one.type) for one in inputs]
            raise ValueError(f"{path} does not match its card: {domain!r} takes {found!r:.{MAX_REASON}}; {_WAY_OUT}")
        if outputs[0].shape[1:] != [self.dim]:
            raise ValueError(
                f"{path} does not match its card: {domain!r} gives {outputs[0].shape!r:.{MAX_REASON}}; {_WAY_OUT}"
            )
        name = inputs[0].name

        def run(batch: NDArray[Any]) -> NDArray[np.float32]:
            return run_graph(session, {name: batch}, path, (len(batch), self.dim))

        return run


# ------------------------------------------------------------------------------------------------------- files


def require_onnxruntime() -> ModuleType:
    """The module onnxruntime.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ImportError("onnxruntime is not installed: pip install onnxruntime, or use engine='torch'") from None
    module: ModuleType = onnxruntime
    return module


def read_card(folder: Path, kind: str) -> dict[str, Any]:
    """The card of an exported network.

    Args:
        folder: of the export.
        kind: `STUDENT`, `STUDENT_INT8` or `SELECTOR`.

    Raises:
        FileNotFoundError: the folder has no such card.
        ValueError: not such a card, or one that names files outside the folder.
    """
    path = folder / f"{kind}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"no exported {kind}: {path} is missing ('sketchcanvas export --onnx {folder}' writes one"
            f"{', with --int8' if kind == STUDENT_INT8 else ''})"
        )
    card = read_json(path, MAX_CARD_BYTES)
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("kind") != kind:
        raise ValueError(f"{path} is not the card of an exported {kind} in format {FORMAT}")
    files = card.get("files")
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{path}: the card names no files")
    for name, sha256 in files.items():
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"{path}: {name[:100]!r} is not the name of a file beside it")
        if not isinstance(sha256, str):
            raise ValueError(f"{path}: the hash of {name[:100]!r} must be a text")
    if not isinstance(card.get("weights"), str | None):
        raise ValueError(f"{path}: the name of the weights must be a text")
    return card


def open_graph(folder: Path, card: Mapping[str, Any], name: str, threads: int = 0) -> Any:
    """A graph, loaded by onnxruntime.

    A graph is a program of ONNX's operators. It cannot read files or call other code, but it can use any amount of time
    and memory, which only the operating system can limit.

    Args:
        folder: of the export.
        card: names the graph, the weights beside it (if any) and the SHA-256 of both.
        name: of the graph's file.
        threads: that one run may use, 0 for all the machine has.

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file that the card does not name, whose hash differs, or that is not a graph.
    """
    weights = card.get("weights")
    files = {} if weights is None else {str(weights): _checked_bytes(folder, card, weights)}
    return make_session(_checked_bytes(folder, card, name), folder / name, threads, files=files)


def make_session(
    graph: bytes,
    path: Path,
    threads: int,
    tensors: Mapping[str, NDArray[Any]] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Any:
    """A graph with weights from memory, loaded by onnxruntime.

    Args:
        graph: serialised.
        path: of its file, to name it.
        threads: that one run may use, 0 for all the machine has.
        tensors: weights by the names that they have in the graph.
        files: contents of files of weights, by the names that the graph gives them.

    Raises:
        ValueError: onnxruntime cannot run the graph with these weights.
    """
    runtime = require_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings are about how graphs were made; errors are raised anyway
    # Without it a small graph could compute constants for minutes, or of gigabytes, while it is loaded.
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(MAX_FOLDED_BYTES))
    # Only hashed bytes may be used. By default onnxruntime reads weights that a graph names from the working directory;
    # nothing lies below the null device.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.path.join(os.devnull, "x")
    )
    if files:
        options.add_external_initializers_from_files_in_memory([*files], [*files.values()], [*map(len, files.values())])
    if tensors:
        values = [runtime.OrtValue.ortvalue_from_numpy(array) for array in tensors.values()]
        options.add_external_initializers([*tensors], values)
    try:
        # The fallback would print the error and try the same again.
        return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its errors have no base of their own
        told = str(error)[:MAX_REASON]
        raise ValueError(f"{path} is not a graph that onnxruntime can run: {told!r}; {_WAY_OUT}") from None


def run_graph(
    session: Any, inputs: Mapping[str, NDArray[Any]], path: Path, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Run a graph of one output.

    Args:
        session: of `open_graph`.
        inputs: by name.
        path: of the graph, to name it.
        shape: that the output must have.

    Raises:
        ValueError: the run fails, or its result is not finite float32 numbers of that shape.
    """
    try:
        [found] = session.run(None, dict(inputs))
    except Exception as error:  # as above
        raise ValueError(f"{path} cannot be run: {str(error)[:MAX_REASON]!r}; {_WAY_OUT}") from None
    if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (np.float32, shape):
        raise ValueError(f"{path} gives something else than float32 numbers of shape {shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{path} gives NaN or infinity")
    return found


def _checked_bytes(folder: Path, card: Mapping[str, Any], name: str) -> bytes:
    if name not in card["files"]:
        raise ValueError(f"{folder / card['kind']}.json names no file {name[:100]!r}")
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: export again")
    with open(path, "rb") as stream:
        large = os.fstat(stream.fileno()).st_size > MAX_FILE_BYTES
        data = b"" if large else stream.read(MAX_FILE_BYTES)
    if large:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes")
    if hashlib.sha256(data).hexdigest() != card["files"][name]:
        raise ValueError(f"{path} is not the file that its card describes: the SHA-256 differs")
    return data


# ------------------------------------------------------------------------------------------------------- photos


def resized(images: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Photos at a student's side, by antialiased bilinear interpolation as `Student.photo_tensor` does it.

    Args:
        images: (n, H, W, 3) uint8.
        side: pixels.

    Returns:
        (n, side, side, 3) float32 on the 0..255 scale.
    """
    count, height, width = images.shape[:3]
    if (height, width) == (side, side):
        return images.astype(np.float32)
    down, across = _interpolation(height, side), _interpolation(width, side)
    pixels = np.empty((count, side, side, 3), np.float32)
    for image, small in zip(images, pixels, strict=True):  # one at a time, which stays in the processor's caches
        rows = down @ image.astype(np.float32).reshape(height, width * 3)
        np.matmul(across, rows.reshape(side, width, 3), out=small)
    return pixels


@lru_cache(maxsize=16)
def _interpolation(size: int, side: int) -> NDArray[np.float32]:
    """Share of each of `size` pixels of one axis in each of `side`, (side, size): a triangle around its centre.

    When shrinking, the triangle is as wide as a new pixel on either side; when growing, as an old one.
    """
    scale = size / side
    reach = max(scale, 1.0)
    centres = (np.arange(side) + 0.5) * scale
    shares = np.maximum(0.0, 1.0 - np.abs(np.arange(size) + 0.5 - centres[:, None]) / reach)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)
