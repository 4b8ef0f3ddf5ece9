"""Reads every attack in a process of its own that a hook watches: `python -m tests.hostile.watch FOLDER OUT`.

The hook sees what Python code and NumPy, torch or Pillow underneath ask of the system through Python: opening a file
outside the folder, a socket, a process, a name looked up by `pickle`. Each is written down for the attack during which
it happened. OUT is JSON: for each attack its error, the processor's seconds, memory at most in bytes, what was seen.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from tests.hostile.attacks import ATTACKS
from tests.hostile.memory import forget, peak
from tests.hostile.readers import READERS, write

FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pickle.",
             "urllib.", "ftplib.", "http.", "ctypes.dlopen", "webbrowser.", "shutil.", "os.remove", "os.rename",
             "os.mkdir", "os.symlink", "os.link")  # fmt: skip
"""Beginnings of the names of events that no reader has any business with."""


class Hook:
    """An audit hook that writes down what is forbidden while `folder` is set."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event.startswith(FORBIDDEN):
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open" and not isinstance(arguments[0], int) and not self._allowed(os.fsdecode(arguments[0])):
            self.seen.append(f"open {arguments[0]!r:.200}")

    def _allowed(self, path: str) -> bool:
        # Modules that are imported late are Python's own business.
        real = os.path.realpath(path)
        return real.startswith((self.folder or "", sys.prefix, sys.base_prefix)) or real.endswith((".py", ".pyc"))


def watched(hook: Hook, folder: Path, read: Any, path: Path) -> dict[str, Any]:
    """Read one file under the hook and say what came of it."""
    forget()
    before = peak()
    hook.folder, hook.seen = str(folder), []
    error = None
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # `pickletools` decodes a text before anybody can refuse its opcode.
            warnings.filterwarnings("ignore", "invalid escape sequence", DeprecationWarning)
            warnings.filterwarnings("ignore", ".*<image> left out", UserWarning)
            read(path)
    except Exception as caught:
        error = caught
    seconds = time.process_time() - start
    hook.folder = None
    most = peak()
    return {
        "error": None if error is None else str(error)[:5000],
        "length": 0 if error is None else len(str(error)),
        "kinds": [] if error is None else [kind.__name__ for kind in type(error).__mro__],
        "seconds": seconds,
        "memory": None if most is None or before is None else most - before,
        "seen": hook.seen,
    }


def main(root: Path, out: Path) -> None:
    """Read a good file of each kind, so that what they import is there, then every attack."""
    torch.set_num_threads(1)
    hook = Hook()
    sys.addaudithook(hook)
    report = {}
    for name, reader in READERS.items():
        folder = root / f"good-{name}"
        folder.mkdir()
        path = write(reader, folder)
        report[f"good {name}"] = watched(hook, folder, reader.read, path)
    outside = root / "outside.txt"
    outside.write_text("x")
    report["a control that reads outside"] = watched(hook, root / "good-svg", Path.read_text, outside)
    report["a control that runs something"] = watched(hook, root / "good-svg", lambda _: os.system("true"), outside)
    # A full collection would look through all that was imported, which takes longer than most files.
    gc.collect()
    gc.freeze()
    for number, (name, attack) in enumerate(ATTACKS.items()):
        folder = root / str(number) / "root"
        folder.mkdir(parents=True)
        path = attack.make(folder)
        print(name, flush=True)  # the last line says which attack ended this process
        report[name] = {**watched(hook, folder, READERS[attack.reader].read, path), "file": str(path)}
        for file in folder.iterdir():
            file.unlink()
    out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
