"""LLVM IR text to running code: results, errors, isolation, lifetime, threads."""

from __future__ import annotations

import ctypes
import gc
import threading

import llvmlite
import numpy as np
import pytest

from compiler.errors import KernelError
from compiler.kernels import native

AXPY = """
declare float @llvm.fma.f32(float, float, float)
define void @{name}(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {{
entry:
  %a = load ptr, ptr %bufs
  %slot = getelementptr ptr, ptr %bufs, i64 1
  %c = load ptr, ptr %slot
  %any = icmp slt i64 %lo, %hi
  br i1 %any, label %loop, label %exit
loop:
  %i = phi i64 [%lo, %entry], [%next, %loop]
  %pa = getelementptr float, ptr %a, i64 %i
  %pc = getelementptr float, ptr %c, i64 %i
  %x = load float, ptr %pa
  %y = call float @llvm.fma.f32(float %x, float {factor}, float 1.0)
  store float %y, ptr %pc
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %hi
  br i1 %more, label %loop, label %exit
exit:
  ret void
}}
"""


def axpy(name: str = "axpy", factor: float = 2.0) -> str:
    return AXPY.format(name=name, factor=f"{factor:.1f}")


def run(address: int, x: np.ndarray, lo: int, hi: int) -> np.ndarray:
    out = np.zeros_like(x)
    bufs = (ctypes.c_void_p * 2)(x.ctypes.data, out.ctypes.data)
    native.KERNEL_SIGNATURE(address)(lo, hi, 0, bufs, None)
    return out


def constant(value: int, name: str = "value") -> str:
    return f"define i32 @{name}() {{ ret i32 {value} }}"


def call_int(address: int) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int32)(address)()


@pytest.mark.parametrize("opt", [0, 1, 2, 3])
@pytest.mark.parametrize("n", [0, 1, 15, 16, 1000])
def test_kernel_computes_its_range(opt: int, n: int) -> None:
    address = native.compile_and_load(axpy(), ["axpy"], opt)["axpy"]
    x = np.linspace(-3, 3, n, dtype=np.float32)
    np.testing.assert_array_equal(run(address, x, 0, n), 2 * x + 1)
    part = run(address, x, n // 3, n // 2)
    assert not part[: n // 3].any() and not part[n // 2 :].any()


def test_nasty_values_follow_numpy() -> None:
    address = native.compile_and_load(axpy(), ["axpy"])["axpy"]
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, -1e-40] * 8, np.float32)
    np.testing.assert_array_equal(run(address, x, 0, x.size), 2 * x + np.float32(1))


def test_loops_are_vectorised_as_wide_as_the_cpu() -> None:
    features = native.host().features.split(",")
    wide = "+avx512vbmi2" in features
    optimised = native.llvm_ir_of(axpy())
    assert ("<16 x float>" in optimised) == wide
    assert ("zmm" in native.assembly_of(axpy())) == wide
    assert "<4 x float>" in optimised or "<8 x float>" in optimised or wide
    assert " x float>" not in native.llvm_ir_of(axpy(), opt=0)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("define void @k(", "expected type"),
        ("define i32 @k() { ret float 0.0 }", "function result type"),
        (
            "define i32 @k() { %a = add i32 %b, 1\n %b = add i32 %a, 1\n ret i32 %a }",
            "dominate",
        ),
    ],
)
def test_bad_ir_is_a_kernel_error_with_llvms_message(text: str, part: str) -> None:
    with pytest.raises(KernelError, match=part):
        native.optimise_and_emit(text)


@pytest.mark.parametrize(
    "line",
    [
        "declare float @expf(float)",
        'declare float @"expf"(float)',
        "  declare noundef float @expf(float noundef) #0\nattributes #0 = { nounwind }",
    ],
)
def test_undeclared_libraries_are_refused(line: str) -> None:
    with pytest.raises(KernelError, match="external function 'expf'"):
        native.optimise_and_emit(line)


def test_memory_functions_may_be_external() -> None:
    text = """
    declare ptr @memcpy(ptr, ptr, i64)
    define void @copy(ptr %to, ptr %from, i64 %n) {
      %r = call ptr @memcpy(ptr %to, ptr %from, i64 %n)
      ret void
    }"""
    address = native.compile_and_load(text, ["copy"])["copy"]
    source, target = np.arange(9.0), np.zeros(9)
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, ctypes.c_size_t)
    prototype(address)(target.ctypes.data, source.ctypes.data, source.nbytes)
    np.testing.assert_array_equal(target, source)


def test_symbol_that_nobody_defines_is_an_error_not_an_abort(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "no_such_function_anywhere"
    allowed = native.ALLOWED_EXTERNALS | {name}
    monkeypatch.setattr(native, "ALLOWED_EXTERNALS", allowed)
    text = f"declare i32 @{name}()\ndefine i32 @k() {{ %r = call i32 @{name}()\n"
    obj = native.optimise_and_emit(text + "ret i32 %r }")
    with pytest.raises(KernelError, match="load object code"):
        native.load_object(obj, ["k"])


def test_missing_symbol_and_damaged_object() -> None:
    obj = native.optimise_and_emit(constant(7))
    with pytest.raises(KernelError, match="other"):
        native.load_object(obj, ["other"])
    for damaged in (b"", b"not an object", obj[: len(obj) // 2]):
        with pytest.raises(KernelError, match="load object code"):
            native.load_object(damaged, ["value"])
    assert call_int(native.load_object(obj, ["value"])["value"]) == 7


def test_objects_do_not_share_symbols() -> None:
    objects = [native.optimise_and_emit(constant(i)) for i in range(5)]
    addresses = [native.load_object(obj, ["value"])["value"] for obj in objects]
    assert [call_int(address) for address in addresses] == list(range(5))


def test_equal_objects_are_loaded_once_and_for_good() -> None:
    text = constant(1, "one") + "\n" + constant(2, "two")
    obj = native.optimise_and_emit(text)
    first = native.load_object(obj, ["one"])
    assert native.load_object(bytes(bytearray(obj)), ["one"]) == first
    both = native.load_object(obj, ["one", "two"])
    gc.collect()
    assert call_int(first["one"]) == 1
    assert [call_int(both[name]) for name in ("one", "two")] == [1, 2]


def test_bad_level() -> None:
    with pytest.raises(KernelError, match="level 4"):
        native.optimise_and_emit(constant(0), opt=4)


def test_key_names_versions_and_cpu() -> None:
    parts = native.key_parts()
    assert parts["llvmlite"] == llvmlite.__version__
    assert parts["cpu"] and parts["features"]
    key = native.host_key("7")
    assert all(value in key for value in parts.values())
    assert key != native.host_key("8")


def test_threads_compile_the_right_code() -> None:
    x = np.arange(100, dtype=np.float32)
    wrong: list[float] = []

    def work(start: int) -> None:
        for factor in range(start, start + 4):
            found = native.compile_and_load(axpy(factor=factor), ["axpy"])
            if not np.array_equal(run(found["axpy"], x, 0, 100), factor * x + 1):
                wrong.append(factor)

    threads = [threading.Thread(target=work, args=(10 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
