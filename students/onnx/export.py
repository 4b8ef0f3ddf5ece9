"""Exports students to ONNX at float32 and int8; `students.onnx.runtime` runs the exports without torch.

A student has separate batch norms for every canvas, and layers pad and pool by the size of their maps. So each canvas
has a graph, and so have photos: onnxruntime can then fold the norms into the convolutions when it loads a graph. The
graphs share one file of weights: the nine graphs of the shipped student take 13 MB instead of 86 MB. At int8 the norms
are folded before weights are rounded, so every graph has its own weights: eight take 22 MB.

    export(students.load("emoji"), "runs/onnx", sketches)

    python -m students.onnx.export emoji-mobilenet_v2

writes the graphs beside a student's weights (`students.onnx.graphs`), which search runs. Run it whenever the weights of
a shipped student change.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from sketchcanvas_env.sketches.raster import rasterise_batch
from sketchcanvas_env.sketches.sketch import VectorSketch
from sketchcanvas_env.storage.files import atomic_write, write_json
from students.network.embedder import Student
from students.network.modes import evaluating
from students.network.protocol import UNSAVED
from students.onnx import graphs
from students.onnx.runtime import FORMAT, PHOTO, STUDENT, STUDENT_INT8, OnnxStudent, require_onnxruntime
from students.store import cards, provenance

OPSET = 18
"""Version of ONNX's operators; onnxruntime has had it since 1.14 (2023)."""

TOLERANCE = 1e-4
"""Largest Euclidean distance allowed between embeddings of torch and onnxruntime; about 1e-5 is measured."""

CALIBRATION = 64
"""Number of sketches that determine the int8 ranges."""

PACKAGES = (*provenance.PACKAGES, "onnx", "onnxruntime", "sketchcanvas")

PERCENTILE = 99.99
"""Percentage of an activation's values within its int8 range. Chosen on val: with the whole range embeddings were 1.5
times as far from those at float32 (64 px)."""

_COMPARED = 8
_SHARED_FROM = 1024
"""Tensors of this many bytes or more are stored in the file of weights."""
_ALIGNMENT = 64


def export(student: Student, folder: str | os.PathLike[str], sketches: Sequence[VectorSketch]) -> OnnxStudent:
    """Write a student's graphs, weights and card, if their embeddings agree with torch's.

    Args:
        student: saved, on the CPU.
        folder: where to write; an earlier export is replaced.
        sketches: some sketches for the comparison.

    Returns:
        The exported student, read back.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        ValueError: a student that was never saved, no sketch, or embeddings farther apart than `TOLERANCE`.
        OSError: the disk is full.
    """
    require_onnx()
    _check(student, sketches)
    shared = _Shared(f"{STUDENT}.bin")
    models = {
        f"{STUDENT}-{domain}.onnx": shared.without_weights(student_graph(student, domain))
        for domain in student.config.domains
    }
    card = {
        **_card(student, STUDENT),
        "precision": "float32",
        "photo": {"side": student.config.photo_side, "file": f"{STUDENT}-{PHOTO}.onnx"},
        "photos": "float32 (n, side, side, 3) named photos: RGB from 0 to 255, photos resized by antialiased bilinear",
        "weights": shared.name,
        "tolerance": TOLERANCE,
    }
    files = {shared.name: bytes(shared.data), **models}
    with TemporaryDirectory(prefix="export-") as scratch:
        write_export(scratch, card, files)
        card["farthest"] = _farthest(student, OnnxStudent.load(scratch), sketches[:_COMPARED])
    worst = max(card["farthest"].values())
    if not worst <= TOLERANCE:
        raise ValueError(f"not exported: embeddings of torch and onnxruntime lie up to {worst:g} apart")
    write_export(folder, card, files)
    return OnnxStudent.load(folder)


def export_int8(student: Student, folder: str | os.PathLike[str], sketches: Sequence[VectorSketch]) -> OnnxStudent:
    """Write a student's graphs at int8 beside its float32 export; accuracy is not measured here.

    Static quantisation of all layers: int8 weights per channel, uint8 activations whose range covers all but 1 in
    10,000 values on the given sketches, as outliers would make all steps coarse. Weights use 7 of their 8 bits:
    processors without VNNI instructions saturate when they add larger products (with AVX2: 12 to 18 points of acc@1).

    Args:
        student: the one that `export` wrote to the folder.
        folder: of that export.
        sketches: for the ranges; from the split `student`, since the other splits are for choosing and judging.

    Returns:
        The exported student, read back.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        FileNotFoundError: the folder holds no float32 export.
        ValueError: that export is of another student; else as `export`.
        OSError: the disk is full.
    """
    require_onnx()
    _check(student, sketches)
    if OnnxStudent.load(folder).weights_hash != student.weights_hash:
        raise ValueError(f"{folder} holds the export of another student: export this one first")
    chosen = sketches[:: -(-len(sketches) // CALIBRATION)]
    models = {
        f"{STUDENT_INT8}-{side}.onnx": _quantised(student_graph(student, str(side)), rasterise_batch(chosen, side))
        for side in student.canvases
    }
    card = {
        **_card(student, STUDENT_INT8),
        "precision": "int8",
        "calibration": {"sketches": len(chosen), "percentile": PERCENTILE},
    }
    write_export(folder, card, models)
    return OnnxStudent.load(folder, "int8")


def write_graphs(student: Student, weights: str | os.PathLike[str], sketches: Sequence[VectorSketch]) -> OnnxStudent:
    """Write a student's graphs beside its weights, if their embeddings agree with torch's.

    Args:
        student: loaded from `weights`, on the CPU.
        weights: its file.
        sketches: some sketches for the comparison.

    Returns:
        The student on onnxruntime.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
        ValueError: no sketch, embeddings farther apart than `TOLERANCE`, or a graph of other weights.
        OSError: the disk is full.
    """
    require_onnx()
    _check(student, sketches)
    state = {name: tensor.numpy() for name, tensor in student.state_dict().items()}
    tensors = {
        domain: np.frombuffer(_weightless(student_graph(student, domain), state, domain), np.uint8)
        for domain in student.config.domains
    }
    card = {
        **_card(student, graphs.KIND),
        "format": graphs.FORMAT,
        "precision": "float32",
        "photo": {"side": student.config.photo_side},
        "tolerance": TOLERANCE,
        "opset": OPSET,
        "commit": provenance.commit(),
        "versions": provenance.versions(PACKAGES),
    }
    path = graphs.graphs_path(weights)
    before = path.read_bytes() if path.is_file() else None
    cards.write(path, tensors, card, graphs.KIND)
    try:
        found = graphs.load(Path(weights))
        card["farthest"] = _farthest(student, found, sketches[:_COMPARED])
        worst = max(card["farthest"].values())
        if not worst <= TOLERANCE:
            raise ValueError(f"embeddings of torch and onnxruntime lie up to {worst:g} apart")
    except ValueError:
        path.unlink() if before is None else path.write_bytes(before)
        raise
    cards.write(path, tensors, card, graphs.KIND)
    return graphs.load(Path(weights))


def _weightless(model: Any, state: Mapping[str, NDArray[Any]], domain: str) -> bytes:
    """A domain's model, serialised with the names of its weights only; ValueError for weights not in `state`."""
    from onnx import numpy_helper

    wanted = graphs.tensors_of(state, domain)
    found = {one.name.removeprefix(graphs.PREFIX): one for one in model.graph.initializer}
    if sorted(found) != wanted or not all(np.array_equal(numpy_helper.to_array(found[n]), state[n]) for n in wanted):
        raise ValueError(f"the graph of {domain!r} does not hold the student's weights under their names")
    for tensor in found.values():
        length = len(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = 1  # TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", 0), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def write_export(folder: str | os.PathLike[str], card: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Write files and then their card, each atomically; until the new card is there, the new files are refused.

    Args:
        folder: where to write.
        card: JSON-able, with "kind"; format, versions, commit and the SHA-256 of all files are added.
        files: by name.
    """
    path = Path(folder)
    for name, data in files.items():
        with atomic_write(path / name) as temporary:
            temporary.write_bytes(data)
    full = {
        "format": FORMAT,
        **card,
        "opset": OPSET,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "bytes": sum(map(len, files.values())),
        "commit": provenance.commit(),
        "versions": provenance.versions(PACKAGES),
    }
    write_json(path / f"{card['kind']}.json", full, indent=2)


def student_graph(student: Student, domain: str) -> Any:
    """One domain of a student as an ONNX model with all its weights.

    Args:
        student: in any mode; exported in evaluation mode.
        domain: one of `student.config.domains`.

    Returns:
        An `onnx.ModelProto`: "rasters" (n, S, S) uint8, or "photos" (n, side, side, 3) float32 on the 0..255 scale, to
        "embeddings" (n, dim) float32.
    """
    if domain == PHOTO:
        name, example = "photos", torch.zeros((2, student.config.photo_side, student.config.photo_side, 3))
    else:
        name, example = "rasters", torch.zeros((2, int(domain), int(domain)), dtype=torch.uint8)
    with evaluating(student):
        return to_onnx(_Domain(student, domain), {name: example}, "embeddings", batch=True)


def to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], output: str, batch: bool) -> Any:
    """A module in evaluation mode as an `onnx.ModelProto`, for inputs of these shapes.

    Args:
        module: takes the inputs in this order.
        inputs: example tensors by input name.
        output: name of the output.
        batch: let the first axis have any length.
    """
    onnx = require_onnx()
    names = [*inputs, output] if batch else []
    with TemporaryDirectory(prefix="export-") as scratch, warnings.catch_warnings(), torch.no_grad():
        path = os.path.join(scratch, "graph.onnx")
        # The tracing exporter is deprecated, but its successor took 22 s instead of 0.5 s for one graph of the shipped
        # student (torch 2.13). Its warnings are ignored: sizes are meant to become constants, and callers compare the
        # result with torch.
        for kind in (DeprecationWarning, TracerWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={name: {0: "n"} for name in names},
            # The module is in evaluation mode; "EVAL" would fold the norms into the weights, which could not be shared.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
        return onnx.load(path)


def require_onnx() -> Any:
    """The module onnx.

    Raises:
        ImportError: it or onnxruntime is not installed; the message says how to install them.
    """
    require_onnxruntime()
    try:
        import onnx
    except ImportError:
        raise ImportError("exporting needs onnx: pip install 'sketchcanvas[onnx]'") from None
    return onnx


class _Domain(nn.Module):
    """A student at one domain, from pixels to embedding."""

    def __init__(self, student: Student, domain: str) -> None:
        super().__init__()
        self.student = student
        self.domain = domain

    def forward(self, pixels: Tensor) -> Tensor:
        student = self.student
        photo = self.domain == PHOTO
        x = student.normalised(pixels.permute(0, 3, 1, 2)) if photo else student.normalised_rasters(pixels)
        embeddings: Tensor = student(x, self.domain)
        return embeddings


class _Shared:
    """Weights of many graphs, each different tensor once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.data = bytearray()
        self._places: dict[bytes, int] = {}

    def without_weights(self, model: Any) -> bytes:
        """The model, serialised, with its large tensors moved here."""
        for tensor in model.graph.initializer:
            raw = tensor.raw_data
            if len(raw) < _SHARED_FROM:
                continue
            key = hashlib.sha256(raw).digest()
            if key not in self._places:
                self.data += bytes(-len(self.data) % _ALIGNMENT)
                self._places[key] = len(self.data)
                self.data += raw
            tensor.ClearField("raw_data")
            tensor.data_location = 1  # TensorProto.EXTERNAL
            for name, value in (("location", self.name), ("offset", self._places[key]), ("length", len(raw))):
                tensor.external_data.add(key=name, value=str(value))
        data: bytes = model.SerializeToString(deterministic=True)
        return data


def _check(student: Student, sketches: Sequence[VectorSketch]) -> None:
    if student.weights_hash == UNSAVED:
        raise ValueError("the student was never saved, so its export cannot be told from others: save it first")
    if student.device.type != "cpu":
        raise ValueError("export from the CPU: move the student there first")
    if not len(sketches):
        raise ValueError("no sketches: an export is compared with torch, or calibrated, on some")


def _card(student: Student, kind: str) -> dict[str, Any]:
    """Fields of every card."""
    return {
        "kind": kind,
        "name": student.name,
        "source": {"weights_sha256": student.weights_hash, "backbone": student.config.backbone},
        "canvases": [
            {"side": side, "file": f"{kind}-{side}.onnx", "flops": student.flops(side)} for side in student.canvases
        ],
        "dim": student.dim,
        "input": "uint8 (n, S, S) named rasters: ink 0 on paper 255, as sketches.raster draws; S by graph",
        "output": "float32 (n, dim) named embeddings: unit vectors, compared by Euclidean distance",
    }


def _farthest(student: Student, exported: OnnxStudent, sketches: Sequence[VectorSketch]) -> dict[str, float]:
    """The largest distance between embeddings of torch and onnxruntime, by domain."""
    photos = np.random.default_rng(0).integers(
        0, 256, (2, 200, 256, 3), dtype=np.uint8
    )  # edges of every direction and contrast
    pairs = {str(side): (student.embed(sketches, side), exported.embed(sketches, side)) for side in student.canvases}
    pairs[PHOTO] = (student.embed_photos(photos), exported.embed_photos(photos))
    return {
        domain: float(np.linalg.norm(ours.astype(np.float64) - theirs, axis=1).max())
        for domain, (ours, theirs) in pairs.items()
    }


def _quantised(model: Any, rasters: NDArray[np.uint8]) -> bytes:
    """A canvas's graph at int8, its ranges taken from (n, S, S) rasters."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Rasters(quantization.CalibrationDataReader):  # type: ignore[misc]
        """One raster at a time."""

        def __init__(self) -> None:
            self.set_range(0, len(rasters))

        def __len__(self) -> int:
            return len(rasters)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.left = iter(rasters[start_index:end_index])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            raster = next(self.left, None)
            return None if raster is None else {"rasters": raster[None]}

    # The tools work on files, print their progress, and warn through the root logger.
    with TemporaryDirectory(prefix="export-") as scratch, redirect_stdout(io.StringIO()), _quiet():
        whole, folded, small = (os.path.join(scratch, f"{name}.onnx") for name in ("whole", "folded", "small"))
        Path(whole).write_bytes(model.SerializeToString())
        quant_pre_process(whole, folded, skip_symbolic_shape=True)  # norms into weights
        quantization.quantize_static(
            folded,
            small,
            Rasters(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Add", "AveragePool", "MatMul"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.Percentile,
            # Despite its name, the second option makes the tool fill its histograms raster by raster: all activations
            # together would take 6 GB.
            extra_options={"CalibPercentile": PERCENTILE, "CalibStridedMinMax": 1},
        )
        return Path(small).read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def main() -> None:
    """Write the graphs of some students beside their weights."""
    from argparse import ArgumentParser

    import students
    from sketchcanvas_env.data import load

    parser = ArgumentParser(description="Write the graphs that search runs beside the weights of students.")
    parser.add_argument("students", nargs="+", help="names of shipped students, or paths")
    torch.set_num_threads(1)
    dataset = load("emoji")
    sketches = [dataset.sketch(int(row)) for row in dataset.indices("val")[:_COMPARED]]
    for name in parser.parse_args().students:
        made = write_graphs(students.load(name), students.find(name), sketches)
        print(
            f"{graphs.graphs_path(students.find(name))}: farthest from torch {max(made.card['farthest'].values()):.1g}"
        )


if __name__ == "__main__":
    main()
