"""Arrays in a file: the safetensors format, which holds numbers and nothing else.

Eight bytes with the length of a JSON header, the header (name, dtype, shape and place
of each array), and the data, little-endian and row-major. Reading runs no code.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from jitflow.dtypes import as_dtype
from jitflow.errors import ArgumentError

_NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
}
_DTYPES = {short: as_dtype(name).np for name, short in _NAMES.items()}
_MAX_HEADER = 100_000_000


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
    """Write arrays under their names; the file appears at once or not at all.

    Raises:
        ArgumentError: for a dtype that the format does not have.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    position = 0
    for name, array in arrays.items():
        end = position + array.nbytes
        header[name] = {
            "dtype": _short_name(name, array),
            "shape": list(array.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data starts at a multiple of 8
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in arrays.values():
                file.write(np.ascontiguousarray(array).tobytes())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _short_name(name: str, array: np.ndarray) -> str:
    found = _NAMES.get(as_dtype(array.dtype).long)
    if found is None:
        raise ArgumentError(f"{name}: the file format has no dtype {array.dtype}")
    return found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Raises:
        ArgumentError: if the file is not of this format, or damaged.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER):
        raise ArgumentError(f"{path}: not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + length])
        body = memoryview(data)[8 + length :]
        return {
            name: _array(entry, body)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(f"{path}: damaged ({error})") from error


def _array(entry: Mapping[str, Any], body: memoryview) -> np.ndarray:
    start, end = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    size = prod(shape) * dtype.itemsize
    if not 0 <= start <= end <= len(body) or end - start != size:
        raise ValueError("an array reaches beyond its place")
    return np.frombuffer(body[start:end], dtype).reshape(shape)
