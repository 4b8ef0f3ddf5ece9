"""Pickles that mean harm."""

from __future__ import annotations

import struct

from tests.hostile.attacks.attack import Content, files

OBJECT = b"\x80\x03cposix\nsystem\nX\x12\0\0\0touch hostile-ran  \x85R."
"""Runs a command when it is unpickled."""

PICKLE: dict[str, tuple[Content, str]] = {
    "os.system": (b"cposix\nsystem\n(S'touch hostile-ran'\ntR.", r"global posix\.system"),
    "eval": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x041+1 \x85R.", r"global builtins\.eval"),
    "numpy.load": (b"\x80\x03cnumpy\nload\nX\x0b\0\0\0/etc/passwd\x85R.", r"global numpy\.load"),
    "numpy's f2py": (b"\x80\x03cnumpy.f2py.crackfortran\ngetlincoef\n)R.", "global numpy.f2py"),
    "a subprocess": (b"\x80\x03csubprocess\nPopen\nX\x02\0\0\0id\x85R.", r"global subprocess\.Popen"),
    "a socket": (b"\x80\x03csocket\nsocket\n)R.", r"global socket\.socket"),
    "a memo bomb": (
        lambda: b"\x80\x03)" + b"".join(b"r" + struct.pack("<I", i) for i in range(2**21)) + b".",
        "more o",
    ),
    "a memo far out": (b"\x80\x03}r\xff\xff\xff\xffj\xff\xff\xff\xff.", "two|holds no dictionary"),
    "a stack bomb": (lambda: b"\x80\x03" + b"(" * (8 << 20) + b".", "more opcodes"),
    "nested tuples": (lambda: b"\x80\x03)" + b"\x85" * (8 << 20) + b".", "more opcodes"),
    "bytes of 2^62": (b"\x80\x04}\x8e" + struct.pack("<Q", 2**62) + b"x.", "expected"),
    "a frame of 2^62": (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"].", "EMPTY_LIST|frame"),
    "a long integer": (lambda: b"\x80\x02\x8b" + struct.pack("<i", 8 << 20) + b"\xff" * (8 << 20) + b".", "LONG4 has"),
    "a decimal integer": (lambda: b"L" + b"9" * (8 << 20) + b"L\n.", "limit|LONG has"),
    "an escape that is none": (b"S'\\q'\n.", "STRING has no place|escape"),
    "a text of surrogates": (b"V\\ud800\n.", "UNICODE has no place"),
    "a megabyte of name": (lambda: b"c" + b"a" * (1 << 20) + b"\nb\n.", "global a"),
    "a megabyte of key": (lambda: b"\x80\x03}X" + struct.pack("<I", 1 << 20) + b"k" * (1 << 20) + b"Ns.", "'kkk"),
}


ATTACKS = files("pickle", PICKLE)
