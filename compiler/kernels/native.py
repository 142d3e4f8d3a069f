"""LLVM IR text to machine code in this process, through llvmlite.

`optimise_and_emit` turns IR text into object code and `load_object` turns object
code into addresses; the two are separate because the disk cache keeps objects. Each
object becomes a library of its own in one process-wide LLJIT, so two kernels may use
the same symbol names. Loaded code is never unloaded: addresses stay valid until the
process ends.

Measured on a Zen 5 core, LLVM 22, a one-loop kernel: parse and verify 0.15 ms, pass
pipeline 4 ms, code generation 4.5 ms, load 0.15 ms; the target machine costs 0.8 ms
and is made once. The first compilation of a process pays 40 ms more for LLVM's own
start. llvmlite holds one lock for every call into LLVM; the pass pipeline and the code
generation, which take the time, are called without it, and two threads compile 40
kernels in 0.20 s instead of 0.38.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import llvmlite
import llvmlite.binding as llvm
from llvmlite.utils import get_library_name

from compiler.errors import KernelError

KERNEL_SIGNATURE: Callable[[int], Callable[..., None]] = ctypes.CFUNCTYPE(
    None,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_void_p,
)
"""``void k(lo, hi, chunk, void** bufs, int64* ints)`` as a ctypes prototype."""

ALLOWED_EXTERNALS = frozenset({"memcpy", "memset", "memmove"})
"""Names a module may declare besides ``llvm.*`` intrinsics; libm is not among them."""

_DECLARED = re.compile(
    r'^\s*declare\b[^@\n]*@("(?:[^"\\]|\\.)*"|[\w.$-]+)', re.MULTILINE
)


@dataclass(frozen=True)
class Host:
    """The machine that code is generated for.

    ``features`` is LLVM's attribute string, the vector-width preference included.
    """

    triple: str
    cpu: str
    features: str


def _features() -> str:
    found = llvm.get_host_cpu_features()
    flags = found.flatten()
    # LLVM prefers 256-bit vectors on Intel because the first AVX-512 CPUs lowered
    # their clock for 512; those that have VBMI2 (Ice Lake, Zen 4 and later) do not.
    return f"{flags},-prefer-256-bit" if found.get("avx512vbmi2") else flags


@cache
def host() -> Host:
    """The host, detected once; the first call initialises LLVM's native target."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return Host(llvm.get_default_triple(), llvm.get_host_cpu_name(), _features())


def _new_target_machine(opt: int) -> llvm.TargetMachine:
    machine = host()
    return llvm.Target.from_triple(machine.triple).create_target_machine(
        cpu=machine.cpu,
        features=machine.features,
        opt=opt,
        reloc="pic",
        codemodel="small",
        jit=True,
    )


def key_parts() -> dict[str, str]:
    """What this compiler contributes to a cache key, each part in clear text."""
    machine = host()
    return {
        "llvmlite": llvmlite.__version__,
        "llvm": ".".join(map(str, llvm.llvm_version_info)),
        "triple": machine.triple,
        "cpu": machine.cpu,
        "features": machine.features,
    }


def host_key(generator_version: str) -> str:
    """One line naming everything but the program that decides the machine code.

    `generator_version` is the caller's code-generator version.
    """
    parts = {"generator": generator_version, **key_parts()}
    return " ".join(f"{name}={value}" for name, value in parts.items())


def _check_externals(ir_text: str) -> None:
    for name in (match.strip('"') for match in _DECLARED.findall(ir_text)):
        if not name.startswith("llvm.") and name not in ALLOWED_EXTERNALS:
            raise KernelError(
                f"the module declares the external function '{name}'",
                fix="define it in the module; only llvm.* intrinsics and "
                f"{', '.join(sorted(ALLOWED_EXTERNALS))} may be external",
            )


@contextmanager
def _llvm_errors(doing: str) -> Iterator[None]:
    """Turn llvmlite's RuntimeError into a KernelError that keeps LLVM's message."""
    try:
        yield
    except RuntimeError as error:
        raise KernelError(f"LLVM failed to {doing}: {str(error).strip()}") from error


def _parse(ir_text: str) -> llvm.ModuleRef:
    _check_externals(ir_text)
    host()
    with _llvm_errors("parse the generated IR"):
        # A context per module: types and constants die with it, not with the process.
        module = llvm.parse_assembly(ir_text, llvm.create_context())
    with _llvm_errors("verify the generated IR"):
        module.verify()
    return module


class _Unlocked:
    """LLVM's two long calls as plain ctypes functions, without llvmlite's lock.

    LLVM allows them in several threads as long as each thread has a context, a pass
    builder and a target machine of its own, which `_Pipeline` sees to.
    """

    def __init__(self) -> None:
        path = resources.files("llvmlite.binding") / get_library_name()
        library = ctypes.CDLL(str(path))
        self.run_passes = library.LLVMPY_RunNewModulePassManager
        self.run_passes.argtypes = llvm.ffi.lib.LLVMPY_RunNewModulePassManager.argtypes
        self.run_passes.restype = None
        locked = llvm.ffi.lib.LLVMPY_TargetMachineEmitToMemory
        self.emit = library.LLVMPY_TargetMachineEmitToMemory
        self.emit.argtypes = locked.argtypes
        self.emit.restype = locked.restype


@cache
def _unlocked() -> _Unlocked:
    return _Unlocked()


class _Pipeline:
    """Target machine and tuning options of one level, for one compilation at a time."""

    def __init__(self, opt: int) -> None:
        self.machine = _new_target_machine(opt)
        self.layout = str(self.machine.target_data)
        self.options = llvm.create_pipeline_tuning_options(opt)
        self.options.loop_vectorization = opt > 1
        self.options.slp_vectorization = opt > 1
        self.options.loop_interleaving = opt > 1
        self.options.loop_unrolling = opt > 1

    def optimise(self, ir_text: str) -> llvm.ModuleRef:
        """The module after LLVM's passes."""
        module = _parse(ir_text)
        module.triple = host().triple
        module.data_layout = self.layout
        builder = llvm.create_pass_builder(self.machine, self.options)
        _unlocked().run_passes(builder.getModulePassManager(), module, builder)
        return module

    def emit(self, module: llvm.ModuleRef, *, as_object: bool) -> bytes:
        """Object code, or assembly text, of an optimised module."""
        with llvm.ffi.OutputString() as message:
            buffer = _unlocked().emit(self.machine, module, int(as_object), message)
            if not buffer:
                raise KernelError(f"LLVM failed to generate code: {message}")
        library = llvm.ffi.lib
        try:
            start = library.LLVMPY_GetBufferStart(buffer)
            return ctypes.string_at(start, library.LLVMPY_GetBufferSize(buffer))
        finally:
            library.LLVMPY_DisposeMemoryBuffer(buffer)


# Pipelines nobody is using, by level: a target machine costs 0.8 ms and serves one
# thread at a time. `list.append` and `list.pop` are atomic.
_IDLE: dict[int, list[_Pipeline]] = {0: [], 1: [], 2: [], 3: []}


@contextmanager
def _pipeline(opt: int) -> Iterator[_Pipeline]:
    if opt not in _IDLE:
        raise KernelError(f"optimisation level {opt!r} is not one of 0, 1, 2, 3")
    try:
        pipeline = _IDLE[opt].pop()
    except IndexError:
        pipeline = _Pipeline(opt)
    try:
        yield pipeline
    finally:
        _IDLE[opt].append(pipeline)


def optimise_and_emit(ir_text: str, opt: int = 3) -> bytes:
    """Object code of a module for the host CPU. Threads compile in parallel.

    Raises `KernelError` with LLVM's message if the text does not parse or verify, or
    if it declares an external function that is not allowed.
    """
    with _pipeline(opt) as pipeline:
        return pipeline.emit(pipeline.optimise(ir_text), as_object=True)


def llvm_ir_of(ir_text: str, opt: int = 3) -> str:
    """The module after LLVM's passes, as text: what code is generated from."""
    with _pipeline(opt) as pipeline:
        return str(pipeline.optimise(ir_text))


def assembly_of(ir_text: str, opt: int = 3) -> str:
    """Assembly of the module for the host CPU, as text."""
    with _pipeline(opt) as pipeline:
        return pipeline.emit(pipeline.optimise(ir_text), as_object=False).decode()


@dataclass
class _Loader:
    """The process's JIT and the addresses it gave out, by SHA-256 of the object.

    Dropping a tracker unloads its code, so every one is kept.
    """

    jit: llvm.LLJIT
    addresses: dict[str, dict[str, int]] = field(default_factory=dict)
    trackers: list[llvm.ResourceTracker] = field(default_factory=list)
    links: int = 0


_LOADING = threading.Lock()


@cache
def _loader() -> _Loader:
    # JITLink places code and constants of one object side by side, which the small
    # code model needs and the older RuntimeDyld does not promise.
    machine = _new_target_machine(3)
    return _Loader(
        llvm.create_lljit_compiler(machine, use_jit_link=True, suppress_errors=True)
    )


def _link(loader: _Loader, obj: bytes, names: list[str]) -> dict[str, int]:
    library = llvm.JITLibraryBuilder().add_object_img(obj)
    for name in names:
        library.export_symbol(name)
    # LLJIT never takes a library name twice, not even after a link that failed.
    loader.links += 1
    with _llvm_errors("load object code"):
        tracker = library.link(loader.jit, f"kernel{loader.links}")
    loader.trackers.append(tracker)
    return {name: tracker[name] for name in names}


def load_object(obj: bytes, names: Iterable[str]) -> dict[str, int]:
    """Addresses of the functions `names` of an object, loaded for good.

    Loading equal bytes again returns the addresses of the first time (a documented
    process-wide cache). Raises `KernelError` for a damaged object, for a name that it
    does not define and for a symbol that it needs and nobody defines.
    """
    wanted = sorted(set(names))
    digest = hashlib.sha256(obj).hexdigest()
    with _LOADING:
        loader = _loader()
        known = loader.addresses.setdefault(digest, {})
        if not set(wanted) <= known.keys():
            known.update(_link(loader, obj, wanted))
        return {name: known[name] for name in wanted}


def compile_and_load(
    ir_text: str, names: Iterable[str], opt: int = 3
) -> Mapping[str, int]:
    """`optimise_and_emit` followed by `load_object`, for callers without a cache."""
    return load_object(optimise_and_emit(ir_text, opt), names)
