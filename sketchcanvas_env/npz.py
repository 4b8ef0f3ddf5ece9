"""`.npz` files with the same bytes every time: no time stamps, no pickle, members in the order given."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sketchcanvas_env.files import atomic_write


def write_npz(path: str | Path, arrays: Mapping[str, NDArray[Any]], compress: bool = True) -> None:
    """Write arrays atomically as an `.npz` that `numpy.load(..., allow_pickle=False)` reads.

    Args:
        path: the final name.
        arrays: arrays by name; none of dtype object.
        compress: deflate the members. Left off where the bytes must not depend on a version of zlib.

    Raises:
        ValueError: an array of dtype object.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", compression=method) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with archive.open(info, "w") as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
