"""Compiler options: one frozen record that every stage reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from compiler.errors import CompilerError

TARGETS = ("cpu", "cuda")
EMITTERS = ("llvm", "numba")


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile a graph. Hashable: options are part of cache keys.

    Attributes:
        target: ``"cpu"`` or ``"cuda"``.
        emitter: ``"llvm"`` writes LLVM IR, ``"numba"`` readable Python source.
        num_threads: threads of the pool; None for one per available core.
        verify: check the graph after every pass that changed it.
        only: names of the passes to run; None for all of them.
        skip: names of the passes to leave out.
        stop_after: name of the last pass to run; None for the whole pipeline.
        relaxed: names of the relaxed rules to switch on, or ``("all",)``.
        dump_to: folder that receives the text of every stage; None for none.
        fuse: combine ops into kernels; without it every op is a kernel.
        max_ops_per_kernel: cap on the ops of one fused kernel.
        max_operands_per_kernel: cap on the buffers of one fused kernel.
    """

    target: str = "cpu"
    emitter: str = "llvm"
    num_threads: int | None = None
    verify: bool = True
    only: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    stop_after: str | None = None
    relaxed: tuple[str, ...] = ()
    dump_to: str | None = None
    fuse: bool = True
    max_ops_per_kernel: int = 256
    max_operands_per_kernel: int = 128

    def __post_init__(self) -> None:
        _check_choice("target", self.target, TARGETS)
        _check_choice("emitter", self.emitter, EMITTERS)
        if self.num_threads is not None and self.num_threads < 1:
            raise CompilerError(
                f"options: num_threads is {self.num_threads}",
                fix="give a positive number, or None for one per core",
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Options:
        """Defaults, changed by the environment.

        Reads ``JITFLOW_DUMP_TO``, ``JITFLOW_EMITTER``, ``JITFLOW_NUM_THREADS``,
        ``JITFLOW_SKIP_PASSES`` and ``JITFLOW_RELAXED`` (the last two separated by
        commas). An unset or empty variable keeps the default.

        Raises:
            CompilerError: if a variable has a value that is not allowed.
        """
        return cls(
            emitter=environ.get("JITFLOW_EMITTER") or "llvm",
            num_threads=_threads(environ.get("JITFLOW_NUM_THREADS", "")),
            skip=_names(environ.get("JITFLOW_SKIP_PASSES", "")),
            relaxed=_names(environ.get("JITFLOW_RELAXED", "")),
            dump_to=environ.get("JITFLOW_DUMP_TO") or None,
        )

    def with_(self, **changes: Any) -> Options:
        """A copy with some fields changed."""
        return replace(self, **changes)


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise CompilerError(
            f"options: unknown {name} {value!r}", fix=f"one of {', '.join(allowed)}"
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _threads(text: str) -> int | None:
    text = text.strip()
    if not text:
        return None
    if not text.isdigit():
        raise CompilerError(
            f"JITFLOW_NUM_THREADS is {text!r}", fix="set it to a positive number"
        )
    return int(text)
