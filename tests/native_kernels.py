"""Small hand-written kernels for the tests of the runtime."""

from __future__ import annotations

import ctypes
from functools import cache

from compiler.kernels import native

_LOOP = """
define void @{name}(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {{
entry:
  %some = icmp slt i64 %lo, %hi
  br i1 %some, label %loop, label %end
loop:
  %i = phi i64 [%lo, %entry], [%i1, %loop]
{body}
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %hi
  br i1 %more, label %loop, label %end
end:
{tail}
  ret void
}}
"""

# bufs[0][i] += 1; bufs[1][chunk] = hi - lo
_MARK = (
    """
  %out = load ptr, ptr %bufs
  %p = getelementptr i64, ptr %out, i64 %i
  %v = load i64, ptr %p
  %w = add i64 %v, 1
  store i64 %w, ptr %p
""",
    """
  %sizes.p = getelementptr ptr, ptr %bufs, i64 1
  %sizes = load ptr, ptr %sizes.p
  %size.p = getelementptr i64, ptr %sizes, i64 %chunk
  %size = sub i64 %hi, %lo
  store i64 %size, ptr %size.p
""",
)

# bufs[0][i] = bufs[0][i] * ints[0] + bufs[1][i]
_ADVANCE = (
    """
  %out = load ptr, ptr %bufs
  %in.p = getelementptr ptr, ptr %bufs, i64 1
  %in = load ptr, ptr %in.p
  %factor = load i64, ptr %ints
  %p = getelementptr i64, ptr %out, i64 %i
  %q = getelementptr i64, ptr %in, i64 %i
  %v = load i64, ptr %p
  %u = load i64, ptr %q
  %w = mul i64 %v, %factor
  %x = add i64 %w, %u
  store i64 %x, ptr %p
""",
    "",
)

# byte at bufs[0] = *bufs[1] < ints[0]
_BELOW = """
define void @below(i64 %lo, i64 %hi, i64 %chunk, ptr %bufs, ptr %ints) {
  %flag = load ptr, ptr %bufs
  %in.p = getelementptr ptr, ptr %bufs, i64 1
  %in = load ptr, ptr %in.p
  %limit = load i64, ptr %ints
  %v = load i64, ptr %in
  %less = icmp slt i64 %v, %limit
  %byte = zext i1 %less to i8
  store i8 %byte, ptr %flag
  ret void
}
"""

# f32: bufs[0][i, :ints[0]] += 1, and bufs[1][i] += 1 (i64) to count visits of rows
_BUMP_ROWS = (
    """
  %c = load ptr, ptr %bufs
  %visits.p = getelementptr ptr, ptr %bufs, i64 1
  %visits = load ptr, ptr %visits.p
  %n = load i64, ptr %ints
  %v.p = getelementptr i64, ptr %visits, i64 %i
  %v = load i64, ptr %v.p
  %v1 = add i64 %v, 1
  store i64 %v1, ptr %v.p
  %row = mul i64 %i, %n
  %p = getelementptr float, ptr %c, i64 %row
  %x = load float, ptr %p
  %y = fadd float %x, 1.0
  store float %y, ptr %p
""",
    "",
)

_NAMES = ("mark", "advance", "below", "bump_rows")


@cache
def kernels() -> dict[str, int]:
    """Addresses of the kernels by name."""
    loops = {"mark": _MARK, "advance": _ADVANCE, "bump_rows": _BUMP_ROWS}
    text = _BELOW + "".join(
        _LOOP.format(name=name, body=body, tail=tail)
        for name, (body, tail) in loops.items()
    )
    return dict(native.compile_and_load(text, _NAMES))


def python_kernel(function: object) -> tuple[object, int]:
    """A kernel written in Python: an object to keep, and its address."""
    callback = native.KERNEL_SIGNATURE(function)
    return callback, ctypes.cast(callback, ctypes.c_void_p).value or 0
