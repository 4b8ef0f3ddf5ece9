"""Reads pickled NumPy arrays, in a dictionary or in an array, without running anything that the file says.

`pickle.load` calls whatever a file names. Refusing foreign names is not enough: with NumPy's own three a file can still
ask for gigabytes, and nested tuples as keys keep `hash` busy for ever. So nothing of `pickle` that acts is used here.
The opcodes come from `pickletools`, which only reads, and a small stack machine knows those that such a dictionary is
made of. The three globals stand for things of our own, and no NumPy function ever sees what the file passes to one.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 64 * 2**20
"""Largest file that is read. The 952 sketches of ChairV2's training part take 2.7 MB."""
MAX_ARRAYS = 20_000
"""Most arrays that are read. ShoeV2, the larger of QMUL's two sets, is described with fewer than 7,000."""

_OPCODES_PER_ITEM = 64
"""Opcodes for every item read so far: in a dictionary its texts, one a key, in a list its arrays. A real file has 20 to
45; a flood of others costs time and memory."""
_MAX_STACK = 4096
"""Things in waiting; picklers set at most a thousand items, of two things each, at a time."""
MAX_DRAWINGS = 1_000_000
"""Most arrays of a list that are read; a category of Quick, Draw! has up to about 350,000 drawings."""
_FLOATS = {"f8": 8, "f4": 4}
_ORDERS = ("<", ">")

_RECONSTRUCT, _NDARRAY, _DTYPE = "numpy.core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"
_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # NumPy 2 spells it so
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1"}
_VALUES |= {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Global:
    """One of the three names; nothing that could be called."""

    name: str


@dataclass
class _Dtype:
    """`numpy.dtype` as the file builds it."""

    code: str
    order: str = ""


@dataclass
class _Array:
    """`numpy.ndarray` as the file builds it; its content comes with the opcode BUILD."""

    content: NDArray[Any] | None = None


class _Mark:
    """Where the items of a tuple or of a dictionary start on the stack."""


def arrays_of(data: bytes) -> dict[str, NDArray[np.floating]]:
    """The arrays of a pickled `{str: float array}`.

    Args:
        data: the pickle, of protocol 3 or 4 as NumPy 1 or 2 writes it; the others keep arrays in other ways.

    Returns:
        Arrays of float64 or float32 by key, in the file's order, read-only.

    Raises:
        ValueError: anything else, named: a foreign global, another opcode than such a file needs, arrays of another
            type (objects above all) or larger than the bytes they come with, keys that are not strings, a truncated
            file, more than `MAX_BYTES` or `MAX_ARRAYS`.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")
    machine = _Machine()
    _run(machine, data, MAX_ARRAYS, "a dictionary of arrays")
    return machine.result()


def drawings_of(data: bytes) -> list[NDArray[np.int16]]:
    """The int16 arrays of a pickled array of such arrays, as `numpy.save` writes drawings of different lengths.

    Args:
        data: the pickle, of protocol 2 by Python 2, or of protocol 3 or 4 by Python 3; its size is the caller's matter.

    Returns:
        The arrays in their order, read-only.

    Raises:
        ValueError: anything else, as `arrays_of`.
    """
    machine = _Drawings()
    _run(machine, data, MAX_DRAWINGS, "a list of arrays")
    return machine.drawings()


def _run(machine: _Machine, data: bytes, most: int, what: str) -> None:
    """Let a machine obey a pickle of at most `most` arrays."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of escapes in a name that is refused anyway
            for steps, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                machine.step(opcode.name, argument)
                if steps > _OPCODES_PER_ITEM * min(machine.items + 2, most) or machine.depth > _MAX_STACK:
                    raise ValueError(f"more opcodes than {what} needs")
    except (IndexError, KeyError):
        raise ValueError("damaged pickle: an opcode refers to something that is not there") from None
    except UnicodeError:
        raise ValueError("damaged pickle: a text that is not UTF-8") from None


class _Machine:
    """The stack, the memo, and what each opcode does to them."""

    sizes: Mapping[str, int] = _FLOATS
    """Bytes of a number of each type that is read."""

    def __init__(self) -> None:
        self._texts = 0
        self._stack: list[object] = []
        self._memo: dict[int, object] = {}

    @property
    def items(self) -> int:
        """What opcodes are counted by: texts read so far."""
        return self._texts

    @property
    def depth(self) -> int:
        """Things on the stack."""
        return len(self._stack)

    def result(self) -> dict[str, NDArray[np.floating]]:
        """What STOP left over."""
        if len(self._stack) != 1 or not isinstance(self._stack[0], dict):
            kind = type(self._stack[-1]).__name__ if self._stack else "nothing"
            raise ValueError(f"holds no dictionary of arrays but {kind}")
        return self._stack[0]

    def step(self, name: str, argument: object) -> None:
        """Obey one opcode."""
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
            self._texts += isinstance(argument, str)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[_whole(argument)])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[_whole(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name == "MARK":
            stack.append(_Mark())
        elif name in _TUPLES:
            size = _TUPLES[name]
            if len(stack) < size:
                raise IndexError
            stack[-size:] = [tuple(stack[-size:])]
        elif name == "TUPLE":
            stack.append(tuple(self._to_mark()))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._set([key, value])
        elif name == "SETITEMS":
            self._set(self._to_mark())
        elif name == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
            stack.append(_known(module, attribute))
        elif name == "STACK_GLOBAL":
            attribute_object, module_object = stack.pop(), stack.pop()
            if not isinstance(attribute_object, str) or not isinstance(module_object, str):
                raise ValueError("a global whose name is no text")
            stack.append(_known(module_object, attribute_object))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_made(function, arguments, self.sizes))
        elif name == "BUILD":
            self._build(stack.pop())
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise ValueError(f"the pickle opcode {name} has no place in a dictionary of arrays")

    def _to_mark(self) -> list[object]:
        for index in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[index], _Mark):
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise IndexError

    def _set(self, items: list[object]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise ValueError(f"sets items of {type(target).__name__}, not of a dictionary")
        if len(items) % 2:
            raise IndexError
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only strings are hashed: a nested tuple could take longer than anyone lives.
            if not isinstance(key, str):
                raise ValueError(f"a key of type {type(key).__name__}; keys must be strings")
            if not isinstance(value, _Array) or value.content is None:
                raise ValueError(f"{key[:100]!r} holds {type(value).__name__.strip('_')}, not a float array")
            if key in target:
                raise ValueError(f"{key[:100]!r} occurs twice")
            target[key] = value.content
        if len(target) > MAX_ARRAYS:
            raise ValueError(f"more than {MAX_ARRAYS:,} arrays")

    def _build(self, state: object) -> None:
        target = self._stack[-1]
        if isinstance(target, _Dtype):
            target.order = _byte_order(state)
        elif isinstance(target, _Array) and target.content is None:
            target.content = _content(state, self.sizes)
        else:
            raise ValueError(f"sets the state of {type(target).__name__.strip('_')}")


class _Drawings(_Machine):
    """Knows lists, Python 2's strings and the array that holds the others, beside what a dictionary needs."""

    sizes: Mapping[str, int] = {"i2": 2, "O8": 8}

    def __init__(self) -> None:
        super().__init__()
        self._built = 0

    @property
    def items(self) -> int:
        """What opcodes are counted by: arrays read so far."""
        return self._built

    def step(self, name: str, argument: object) -> None:
        """Obey one opcode."""
        stack = self._stack
        if name in ("SHORT_BINSTRING", "BINSTRING"):
            stack.append(str(argument).encode("latin-1"))  # `pickletools` has read the bytes as Latin-1
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._to_mark()
            if not isinstance(stack[-1], list):
                raise ValueError(f"appends to {type(stack[-1]).__name__.strip('_')}, not to a list")
            stack[-1] += items
        else:
            if name in ("REDUCE", "BUILD") and (stack[-2] == _Global(_DTYPE) or isinstance(stack[-2], _Dtype)):
                stack[-1] = _texts(stack[-1])
            super().step(name, argument)

    def drawings(self) -> list[NDArray[np.int16]]:
        """What STOP left over."""
        found = self._stack[0] if len(self._stack) == 1 else None
        if not isinstance(found, _Array) or found.content is None or found.content.dtype.kind != "O":
            raise ValueError("holds no array of arrays")
        return list(found.content)

    def _build(self, state: object) -> None:
        target = self._stack[-1]
        if isinstance(target, _Dtype) and target.code == "O8":
            target.order = "|"
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
            target.content = _objects(state[1], state[2], state[4])
        else:
            super()._build(state)
            self._built += isinstance(target, _Array)


def _texts(items: object) -> object:
    """A tuple whose bytes are texts, as those that describe a type are in Python 2."""
    if not isinstance(items, tuple):
        return items
    return tuple(item.decode("latin-1") if isinstance(item, bytes) else item for item in items)


def _objects(shape: object, dtype: object, items: list[object]) -> NDArray[Any]:
    """The array of arrays of a state (version, shape, type, order, list)."""
    if dtype != _Dtype("O8", "|") or shape != (len(items),):
        raise ValueError(f"a list of {len(items):,} that is not the content of an array of as many objects")
    found = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        if not isinstance(item, _Array) or item.content is None or item.content.dtype.kind == "O":
            raise ValueError(f"item {place} is {type(item).__name__.strip('_')}, not an array of numbers")
        found[place] = item.content
    return found


def _whole(argument: object) -> int:
    if not isinstance(argument, int):
        raise KeyError
    return argument


def _known(module: str, attribute: str) -> _Global:
    name = _GLOBALS.get((module, attribute))
    if name is None:
        raise ValueError(
            f"names the global {module[:100]}.{attribute[:100]}, which is not loaded: only NumPy's _reconstruct, "
            "ndarray and dtype are"
        )
    return _Global(name)


def _made(function: object, arguments: object, sizes: Mapping[str, int]) -> _Array | _Dtype:
    """What `_reconstruct` and `dtype` return, for just the arguments that NumPy itself writes."""
    if not isinstance(function, _Global) or not isinstance(arguments, tuple):
        raise ValueError("calls something that is no function of NumPy's")
    if function.name == _RECONSTRUCT and arguments == (_Global(_NDARRAY), (0,), b"b"):
        return _Array()
    if function.name == _DTYPE and arguments and isinstance(arguments[0], str):
        if arguments[0] not in sizes:
            raise ValueError(f"holds arrays of type {arguments[0][:20]!r}; only {', '.join(sizes)} are read")
        return _Dtype(arguments[0])
    raise ValueError(f"calls {function.name} with arguments that NumPy never writes")


def _byte_order(state: object) -> str:
    """Of a state (version, order, and what plain numbers have not)."""
    if isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None, None, None) and state[1] in _ORDERS:
        return str(state[1])
    raise ValueError("describes a type that is no plain number")


def _content(state: object, sizes: Mapping[str, int]) -> NDArray[Any]:
    """The array of a state (version, shape, type, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise ValueError("an array whose state is not (version, shape, type, order, bytes)")
    _, shape, dtype, fortran, raw = state
    if (
        not isinstance(dtype, _Dtype)
        or dtype.order not in _ORDERS
        or not isinstance(raw, bytes)
        or not isinstance(fortran, bool)
    ):
        raise ValueError("an array that is not made of plain numbers")
    if not isinstance(shape, tuple) or len(shape) > 2 or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array whose shape is not made of one or two sizes")
    claimed = math.prod(shape) * sizes[dtype.code]
    if claimed != len(raw):
        raise ValueError(f"an array that claims {claimed:,} bytes comes with {len(raw):,}")
    flat = np.frombuffer(raw, dtype=dtype.order + dtype.code)
    return flat.reshape(shape, order="F" if fortran else "C")
