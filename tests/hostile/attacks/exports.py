"""ONNX graphs and their cards that mean harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.hostile.attacks.attack import Attack, Content, cards, files
from tests.hostile.attacks.pickles import OBJECT
from tests.hostile.attacks.weights import CARDS, huge_weights
from tests.hostile.readers import EXPORTS, READERS


def _graph(nodes: list[Any], constants: list[Any] | None = None, shape: tuple[int, ...] = (1, 2)) -> bytes:
    """A model of "x", (1, 2) float32, that gives "y"; none of ours takes that."""
    from onnx import TensorProto, helper

    takes, gives = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", (1, 2)), ("y", shape))
    )
    graph = helper.make_graph(nodes, "g", [takes], [gives], constants or [])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = made.SerializeToString()
    return data


def _outside(location: str, offset: int = 0, length: int = 8) -> Callable[[], bytes]:
    """A model whose constant lies in a file."""

    def make() -> bytes:
        from onnx import TensorProto, helper

        constant = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[length], data_location=1)
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            constant.external_data.add(key=key, value=str(value))
        nodes = [
            helper.make_node("Cast", ["w"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
            helper.make_node("Add", ["c", "s"], ["y"]),
        ]
        return _graph(nodes, [constant], (length,))

    return make


def _product_of_constants() -> bytes:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Expand", ["z", "s"], ["a"]),
        helper.make_node("MatMul", ["a", "a"], ["b"]),
        helper.make_node("ReduceSum", ["b"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    constants = [("z", TensorProto.FLOAT, [1], [1.0]), ("s", TensorProto.INT64, [2], [8_000, 8_000])]
    return _graph(nodes, [helper.make_tensor(*each) for each in constants])


def _doubled_constant() -> bytes:
    from onnx import TensorProto, helper

    doubled = [helper.make_node("Concat", [f"a{i}"] * 2, [f"a{i + 1}"], axis=0) for i in range(30)]
    rest = [helper.make_node("ReduceSum", ["a30"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]
    return _graph(doubled + rest, [helper.make_tensor("a0", TensorProto.FLOAT, [1], [1.0])])


def _nested_branches() -> bytes:
    """Thirty levels, nearly as deep as a protocol buffer may be; the other branches are missing."""
    from onnx import TensorProto, helper

    inner = helper.make_node("Identity", ["x"], ["y"])
    for _ in range(30):
        gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        inner = helper.make_node("If", ["t"], ["y"], then_branch=helper.make_graph([inner], "b", [], [gives]))
    return _graph([inner], [helper.make_tensor("t", TensorProto.BOOL, [], [True])])


def _operator(name: str, domain: str = "") -> Callable[[], bytes]:
    def make() -> bytes:
        from onnx import helper

        return _graph([helper.make_node(name, ["x"], ["y"], domain=domain)])

    return make


def _answering(reader: str, kind: str, value: Any) -> Callable[[], bytes]:
    """A good graph whose output is replaced by a constant of another kind, whatever it says about its shape."""

    def make() -> bytes:
        import onnx
        from onnx import helper

        model = onnx.load_from_string(READERS[reader].good()[0])
        told = model.graph.output[0]
        constant = onnx.numpy_helper.from_array(np.array(value), "c")
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.node.append(helper.make_node("Constant", [], [told.name], value=constant))
        told.type.tensor_type.elem_type = getattr(onnx.TensorProto, kind)
        data: bytes = model.SerializeToString()
        return data

    return make


def _stumbling(reader: str) -> bytes:
    """A good graph that looks for the millionth row of its input on the way out."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(READERS[reader].good()[0])
    told, takes = model.graph.output[0], model.graph.input[0]
    del model.graph.node[:], model.graph.initializer[:]
    for name, values in (("i", [10**6]), ("n", [-1]), ("shape", [1, 4])):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    model.graph.node.extend(
        [
            helper.make_node("Cast", [takes.name], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["f", "n"], ["flat"]),
            helper.make_node("Shape", ["flat"], ["len"]),
            helper.make_node("Mul", ["len", "i"], ["far"]),
            helper.make_node("Gather", ["flat", "far"], ["none"], axis=0),
            helper.make_node("Expand", ["none", "shape"], [told.name]),
        ]
    )
    data: bytes = model.SerializeToString()
    return data


def _graphs(reader: str) -> dict[str, tuple[Content, str]]:
    dim = 4  # of the good student's embeddings, and canvases of the good selector
    other = "does not match its card|its graph turns"
    return {
        "empty": (b"", "not a graph"),
        "text": (b"a cat", "not a graph"),
        "a pickle": (OBJECT, "not a graph"),
        "cut short": (lambda: READERS[reader].good()[0][:-100], "not a graph"),
        "a length beyond the file": (b"\x08\x08\x3a\xff\xff\xff\xff\x07", "not a graph"),
        "100,000 levels": (lambda: _levels(100_000), "not a graph"),
        "a file of the working folder": (_outside("README.md"), "not a graph"),
        "a file of a folder below": (_outside("tests/helpers.py"), "not a graph"),
        "a file of a folder above": (_outside("../../../../../../etc/passwd"), "not a graph"),
        "an absolute file": (_outside("/etc/passwd"), "not a graph"),
        "a device": (_outside("/dev/zero", length=1 << 20), "not a graph"),
        "memory behind the weights": (_outside("student.bin", 1 << 40), "not a graph"),
        "weights that are too long": (_outside("student.bin", 0, 1 << 30), "not a graph"),
        "weights before the first": (_outside("student.bin", -64), "not a graph"),
        "an operator that is none": (_operator("Evil"), "not a graph"),
        "an operator of a terminal's commands": (_operator("\x1b]0;evil\x07"), "not a graph"),
        "an operator of a stranger": (_operator("Evil", "com.evil"), "not a graph"),
        "a product of large constants": (_product_of_constants, other),
        "a constant that doubles": (_doubled_constant, other),
        "nested branches": (_nested_branches, "not a graph"),
        "another network": (_operator("Identity"), other),
        "an answer of text": (_answering(reader, "STRING", [["a"] * dim]), "something else than float32|not a graph"),
        "an answer of integers": (_answering(reader, "INT64", [[1] * dim]), "something else than float32|not a graph"),
        "an answer of another shape": (_answering(reader, "FLOAT", np.zeros((3, dim + 1), "f4")), "graph|give"),
        "a row too many": (_answering(reader, "FLOAT", np.zeros((2, dim), "f4")), "something else than|graph"),
        "NaN": (_answering(reader, "FLOAT", np.full((1, dim), np.nan, "f4")), "NaN or infinity"),
        "infinity": (_answering(reader, "FLOAT", np.full((1, dim), np.inf, "f4")), "NaN or infinity"),
        "stumbling": (lambda: _stumbling(reader), "cannot be run"),
    }


def _levels(count: int) -> bytes:
    """A protocol buffer in a protocol buffer ...; lengths are right as far as anybody looks."""
    data = b""
    for _ in range(200):
        data = b"\x3a" + _varint(len(data)) + data
    return data + b"\x3a\xff\xff\xff\x7f" * (count - 200)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


_EXPORT_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "no files": ({"files": {}}, "names no files"),
    "files of a list": ({"files": ["a"]}, "names no files"),
    "a file above": ({"files": {"../secret.txt": "a"}}, "not the name of a file beside it"),
    "a file of the machine": ({"files": {"/etc/passwd": "a"}}, "not the name of a file beside it"),
    "a hidden file": ({"files": {".secret": "a"}}, "not the name of a file beside it"),
    "a hash of a number": ({"files": {"a.onnx": 1}}, "must be a text"),
    "weights of a list": ({"weights": ["a"]}, "weights must be a text"),
    "weights of a stranger": ({"weights": "/etc/passwd"}, "names no file"),
    "canvases of a number": ({"canvases": 3}, "damaged"),
    "canvases that fall": ({"canvases": [64, 32]}, "damaged"),
}

_EXPORTED_STUDENT_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORT_CARDS,
    "10,000 canvases": ({"canvases": [{"side": 9, "file": "student-32.onnx", "flops": 1.0}] * 10_000}, "damaged"),
    "a graph of a stranger": ({"canvases": [{"side": 32, "file": "../a", "flops": 1.0}]}, "names no file"),
    "FLOPs of NaN": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": float("nan")}]}, "damaged"),
    "FLOPs of infinity": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": 1e999}]}, "damaged"),
    "FLOPs below zero": ({"canvases": [{"side": 32, "file": "student-32.onnx", "flops": -1}]}, "damaged"),
    "a dimension of 10^400": ({"dim": 10**400}, "does not match its card"),
    "a dimension below zero": ({"dim": -4}, "does not match its card"),
    "a dimension of infinity": ({"dim": float("inf")}, "damaged"),
    "photos of 10^9": ({"photo": {"side": 10**9, "file": "student-photo.onnx"}}, "damaged"),
    "photos of a list": ({"photo": [1]}, "damaged"),
    "no source": ({"source": None}, "damaged"),
    "another precision": ({"precision": ["int8"]}, "damaged"),
}

_EXPORTED_SELECTOR_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORT_CARDS,
    "a canvas too many": ({"canvases": [16, 32, 64, 128, 256]}, "damaged"),
    "10,000 canvases": ({"canvases": list(range(10_000))}, "damaged"),
    "points of 10^400": ({"max_points": 10**400}, "damaged"),
    "points of infinity": ({"max_points": float("inf")}, "damaged"),
    "what it reads is a list": ({"reads": [["stats"]]}, "damaged"),
    "it reads secrets": ({"reads": ["secrets"]}, "damaged"),
    "FLOPs of NaN": ({"flops": [float("nan")] * 40}, "damaged"),
    "FLOPs of text": ({"flops": ["a"] * 40}, "damaged"),
    "FLOPs in FLOPs": ({"flops": [[1.0], [1.0, 2.0]]}, "damaged"),
    "FLOPs of 10^400": ({"flops": [10**400] * 40}, "damaged"),
}


def _cascade_with(**changes: Any) -> dict[str, Any]:
    return {"cascade": {"ranking": "last", "costs": [1.0, 3.0, 12.0], **changes}}


_EXPORTED_CASCADE_CARDS: dict[str, tuple[dict[str, Any], str]] = {
    **_EXPORTED_SELECTOR_CARDS,
    "1,000 canvases": ({"canvases": list(range(1, 1_001))}, "at most 8 canvases"),
    "it is told a tradeoff": ({"reads": ["stats", "looks", "last", "tradeoff"]}, "damaged"),
    "it does not see what is shown": ({"reads": ["stats"]}, "its graph turns"),
    "a cascade of a list": ({"cascade": [1]}, "damaged"),
    "a cascade of nothing": ({"cascade": None}, "damaged"),
    "a cascade of text": ({"cascade": "evil"}, "damaged"),
    "a ranking of a list": (_cascade_with(ranking=["last"]), "unknown ranking"),
    "a ranking of a megabyte": (_cascade_with(ranking="a" * 1_000_000), "unknown ranking"),
    "a ranking of a terminal's commands": (_cascade_with(ranking="\x1b]0;evil\x07"), "unknown ranking"),
    "costs of a number": (_cascade_with(costs=3), "costs must be 3 numbers"),
    "a cost too many": (_cascade_with(costs=[1.0] * 4), "costs must be 3 numbers"),
    "costs of text": (_cascade_with(costs=["a"] * 3), "costs must be 3 numbers"),
    "costs of lists": (_cascade_with(costs=[[1.0]] * 3), "costs must be 3 numbers"),
    "costs of NaN": (_cascade_with(costs=[float("nan")] * 3), "finite numbers above zero"),
    "costs of infinity": (_cascade_with(costs=[1.0, 2.0, float("inf")]), "finite numbers above zero"),
    "costs of both infinities": (_cascade_with(costs=[1.0, float("-inf"), float("inf")]), "damaged"),
    "costs of nothing": (_cascade_with(costs=[0.0] * 3), "finite numbers above zero"),
    "costs below zero": (_cascade_with(costs=[1.0, 2.0, -3.0]), "finite numbers above zero"),
    "costs of 10^400": (_cascade_with(costs=[10**400] * 3), "too large to be added up"),
    "costs that add up to infinity": (_cascade_with(costs=[1.5e308] * 3), "too large to be added up"),
}


_CARDS_OF = {
    "onnxstudent": _EXPORTED_STUDENT_CARDS,
    "onnxselector": _EXPORTED_SELECTOR_CARDS,
    "onnxcascade": _EXPORTED_CASCADE_CARDS,
}


def _of(reader: str) -> dict[str, Attack]:
    return {
        **files(reader, _graphs(reader)),
        **cards(reader, CARDS),
        **cards(reader, _CARDS_OF[reader]),
        f"{reader}: 8 GB": Attack(reader, lambda folder: huge_weights(folder, reader), "larger than"),
    }


ATTACKS: dict[str, Attack] = {name: attack for reader in EXPORTS for name, attack in _of(reader).items()}
