"""Reads pickled NumPy arrays, in a dictionary or in an array, without running anything that the file says.

`pickle.load` calls whatever a file names. An unpickler that knows three names is not enough: a memo place of 2^28 takes
gigabytes in the one written in C, and a nested tuple as a key keeps `hash` busy for ever or ends the process. So this
one is Python's other unpickler, written in Python, with a table of the opcodes that such files are made of. The three
names stand for things of our own; no NumPy function sees what the file passes to one, and only texts become keys.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 64 * 2**20
"""Largest file that is read. The 952 sketches of ChairV2's training part take 2.7 MB."""
MAX_ARRAYS = 20_000
"""Most arrays that are read. ShoeV2, the larger of QMUL's two sets, is described with fewer than 7,000."""
MAX_DRAWINGS = 1_000_000
"""Most arrays of a list that are read; a category of Quick, Draw! has up to about 350,000 drawings."""

_READS_PER_ARRAY = 128
"""Reads of the file for every array so far, one to three an opcode. A real array takes 20 to 45 opcodes; a flood of
others costs time and memory."""
_RECONSTRUCT, _NDARRAY, _DTYPE = "_reconstruct", "ndarray", "dtype"
_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,  # NumPy 2 spells it so
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
}
_OPCODES = [
    "PROTO", "STOP", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BINGET", "LONG_BINGET", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "MARK", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "GLOBAL",
    "STACK_GLOBAL",
]  # fmt: skip
_LIST_OPCODES = ["EMPTY_LIST", "APPEND", "APPENDS", "SHORT_BINSTRING", "BINSTRING"]
_NAMES = {opcode.code.encode("latin-1")[0]: opcode.name for opcode in pickletools.opcodes}
_ORDERS = ("<", ">")


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
    found = _Unpickler(data, {"f8": 8, "f4": 4}, MAX_ARRAYS).only()
    if not isinstance(found, dict):
        raise ValueError(f"holds no dictionary of arrays but {_kind(found)}")
    return found


def drawings_of(data: bytes) -> list[NDArray[np.int16]]:
    """The int16 arrays of a pickled array of such arrays, as `numpy.save` writes drawings of different lengths.

    Args:
        data: the pickle, of protocol 2 by Python 2, or of protocol 3 or 4 by Python 3; the caller limits its size.

    Returns:
        The arrays in their order, read-only.

    Raises:
        ValueError: anything else, as `arrays_of`.
    """
    found = _ListUnpickler(data, {"i2": 2, "O8": 8}, MAX_DRAWINGS).only()
    if not isinstance(found, _Array) or found.content is None or found.content.dtype.kind != "O":
        raise ValueError("holds no array of arrays")
    return list(found.content)


class _Reads(io.BytesIO):
    """A file that counts how often it is read, and has what is asked for."""

    calls = 0
    most = 16_384  # a thousand items of one batch may name the same array

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes."""
        self.calls += 1
        if self.calls > self.most:
            raise ValueError("more opcodes than so many arrays need")
        data = super().read(size)
        if size is not None and len(data) < size:
            raise ValueError(f"damaged pickle: expected {size} bytes, {len(data)} are left")
        return data


class _Opcodes(dict[int, Callable[[Any], None]]):
    """What each opcode does."""

    def __missing__(self, opcode: int) -> Callable[[Any], None]:
        raise ValueError(f"the pickle opcode {_NAMES.get(opcode, repr(chr(opcode)))} has no place among arrays")


class _Unpickler(pickle._Unpickler):
    """Knows what a dictionary of arrays is made of."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]]
    # What the class above makes while it loads, which its types do not tell.
    stack: list[Any]
    metastack: list[list[Any]]
    append: Callable[[object], None]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, data: bytes, sizes: dict[str, int], most: int) -> None:
        self._file = _Reads(data)
        super().__init__(self._file, encoding="bytes")
        self._sizes = sizes  # bytes of a number of each type that is read
        self._most, self._arrays = most, 0

    def only(self) -> object:
        """What the file holds."""
        try:
            found: object = self.load()
        except UnicodeError:
            raise ValueError("damaged pickle: a text that is not UTF-8") from None
        except (IndexError, KeyError, AttributeError, TypeError, pickle.UnpicklingError) as error:
            raise ValueError(f"damaged pickle: {error}") from None
        if self.stack or self.metastack:
            raise ValueError("holds no dictionary of arrays but several things")
        return found

    def find_class(self, module: str, name: str) -> _Global:
        """What stands for one of the three names."""
        known = _GLOBALS.get((module, name))
        if known is None:
            raise ValueError(
                f"names the global {module[:100]}.{name[:100]}, which is not loaded: only NumPy's _reconstruct, "
                "ndarray and dtype are"
            )
        return _Global(known)

    def load_frame(self) -> None:
        """Frames speed up reading from a disk; what is in them is read as if there were none."""
        self.read(8)

    def load_reduce(self) -> None:
        """What `_reconstruct` and `dtype` return, for just the arguments that NumPy itself writes."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise ValueError("calls something that is no function of NumPy's")
        if function.name == _DTYPE and arguments and isinstance(arguments[0], str | bytes):
            code = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode("latin-1")
            if code not in self._sizes:
                raise ValueError(f"holds arrays of type {code[:20]!r}; only {', '.join(self._sizes)} are read")
            self.append(_Dtype(code))
        elif function.name == _RECONSTRUCT and arguments == (_Global(_NDARRAY), (0,), b"b"):
            self.append(_Array())
        else:
            raise ValueError(f"calls numpy.{function.name} with arguments that NumPy never writes")

    def load_build(self) -> None:
        """Set what an array or a type holds."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Dtype):
            target.order = _byte_order(state)
        elif isinstance(target, _Array) and target.content is None:
            target.content = _content(state, self._sizes)
            self._arrays += 1
            if self._arrays > self._most:
                raise ValueError(f"more than {self._most:,} arrays")
            self._file.most += _READS_PER_ARRAY
        else:
            raise ValueError(f"sets the state of {_kind(target)}")

    def load_setitem(self) -> None:
        """Add an item to a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def load_setitems(self) -> None:
        """Add items to a dictionary."""
        items = self.pop_mark()
        self._set(items)

    def _set(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise ValueError(f"sets items of {_kind(target)}, not of a dictionary")
        if len(items) % 2:
            raise ValueError("damaged pickle: a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise ValueError(f"a key of type {_kind(key)}; keys must be strings")
            if not isinstance(value, _Array) or value.content is None:
                raise ValueError(f"{key[:100]!r} holds {_kind(value)}, not a float array")
            if key in target:
                raise ValueError(f"{key[:100]!r} occurs twice")
            target[key] = value.content


def _table(unpickler: type[_Unpickler], opcodes: list[str]) -> _Opcodes:
    own = ("FRAME", "REDUCE", "BUILD", "SETITEM", "SETITEMS")
    known = _Opcodes({getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]
                      for name in opcodes})  # fmt: skip
    return _Opcodes(known | {getattr(pickle, name)[0]: getattr(unpickler, f"load_{name.lower()}") for name in own})


_Unpickler.dispatch = _table(_Unpickler, _OPCODES)


class _ListUnpickler(_Unpickler):
    """Knows lists, Python 2's strings and the array that holds the others, beside what a dictionary needs."""

    def load_build(self) -> None:
        """Set what an array or a type holds, or the list of an array of arrays."""
        state, target = self.stack[-1], self.stack[-2]
        if isinstance(target, _Dtype) and target.code == "O8":
            self.stack.pop()
            target.order = "|"
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
            self.stack.pop()
            target.content = _objects(state[1], state[2], state[4])
        else:
            super().load_build()


_ListUnpickler.dispatch = _table(_ListUnpickler, _OPCODES + _LIST_OPCODES)


def _kind(thing: object) -> str:
    return type(thing).__name__.strip("_")


def _objects(shape: object, dtype: object, items: list[object]) -> NDArray[Any]:
    """The array of arrays of a state (version, shape, type, order, list)."""
    if dtype != _Dtype("O8", "|") or shape != (len(items),):
        raise ValueError(f"a list of {len(items):,} that is not the content of an array of as many objects")
    found = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        if not isinstance(item, _Array) or item.content is None or item.content.dtype.kind == "O":
            raise ValueError(f"item {place} is {_kind(item)}, not an array of numbers")
        found[place] = item.content
    return found


def _byte_order(state: object) -> str:
    """Of a state (version, order, and what plain numbers have not)."""
    if isinstance(state, tuple) and len(state) == 8 and state[2:5] == (None, None, None):
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        if order in _ORDERS:
            return str(order)
    raise ValueError("describes a type that is no plain number")


def _content(state: object, sizes: dict[str, int]) -> NDArray[Any]:
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
