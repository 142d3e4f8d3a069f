"""The version of the code generator: what makes cached machine code stale."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources


@cache
def generator_version() -> str:
    """A hash of the sources that decide what code is generated for a program.

    A version number would have to be raised by hand at every change of an emitter or of
    a polynomial; a forgotten one would serve stale code.
    """
    digest = hashlib.sha256()
    folder = resources.files("compiler.kernels")
    for name in sorted(f.name for f in folder.iterdir() if f.name.endswith(".py")):
        digest.update(name.encode())
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]
