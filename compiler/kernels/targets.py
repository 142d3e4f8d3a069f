"""From loop programs to addresses: the emitters by name, and the kernel cache.

An emitter that needs a heavy package (Numba) lives in a module that is loaded by name
when it is asked for, so that the default path does not pay for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from compiler.kernels import emit_llvm
from compiler.kernels.cache import default_cache
from compiler.kernels.loop_program import LoopProgram

_ON_DEMAND = {"numba": "compiler.kernels.numba_target"}


def compile_programs(programs: Sequence[LoopProgram], emitter: str) -> list[int]:
    """Addresses of native kernels, in order; equal programs are compiled once.

    Args:
        programs: verified loop programs.
        emitter: ``llvm`` or ``numba``.
    """
    if emitter in _ON_DEMAND:
        target = importlib.import_module(_ON_DEMAND[emitter])
        return [target.compile_program(program) for program in programs]
    unique = {program.text(): program for program in programs}
    requests = [
        (_key(text), lambda p=program: emit_llvm.emit_llvm(p), emit_llvm.SYMBOL)
        for text, program in unique.items()
    ]
    addresses = dict(zip(unique, default_cache().get_many(requests), strict=True))
    return [addresses[program.text()] for program in programs]


def _key(text: str) -> dict[str, str]:
    return {"program": text, "target": "llvm", "generator": emit_llvm.VERSION}
