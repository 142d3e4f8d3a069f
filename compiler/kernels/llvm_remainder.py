"""``jf_rem_f32`` and ``jf_rem_f64``: the exact C ``fmod`` as LLVM IR text.

LLVM's ``frem`` becomes a call into the C library, which compiled kernels do not link.
The mantissa of the dividend is divided as an integer, a fixed number of bits in each
step, so the result is exact for every exponent difference.
"""

from __future__ import annotations

from collections.abc import Mapping

_TEMPLATE = """\
define internal {F} @{symbol}({F} %x, {F} %y) \
alwaysinline nounwind willreturn memory(none) {{
entry:
  %xs = bitcast {F} %x to {I}
  %ys = bitcast {F} %y to {I}
  %xb = and {I} %xs, {magnitude}
  %yb = and {I} %ys, {magnitude}
  %x.bad = icmp uge {I} %xb, {inf}
  %y.nan = icmp ugt {I} %yb, {inf}
  %y.zero = icmp eq {I} %yb, 0
  %y.bad = or i1 %y.nan, %y.zero
  %bad = or i1 %x.bad, %y.bad
  br i1 %bad, label %invalid, label %valid
invalid:
  %p = fmul {F} %x, %y
  %nan = fdiv {F} %p, %p
  %quiet = fadd {F} %nan, 0x7FF8000000000000
  ret {F} %quiet
valid:
  %small = icmp ult {I} %xb, %yb
  br i1 %small, label %keep, label %divide
keep:
  ret {F} %x
divide:
  %xe0 = lshr {I} %xb, {mantissa}
  %ye0 = lshr {I} %yb, {mantissa}
  %x.denormal = icmp eq {I} %xe0, 0
  %y.denormal = icmp eq {I} %ye0, 0
  %xe = select i1 %x.denormal, {I} 1, {I} %xe0
  %ye = select i1 %y.denormal, {I} 1, {I} %ye0
  %xf = and {I} %xb, {fraction}
  %yf = and {I} %yb, {fraction}
  %xi = or {I} %xf, {implicit}
  %yi = or {I} %yf, {implicit}
  %xm0 = select i1 %x.denormal, {I} %xf, {I} %xi
  %ym0 = select i1 %y.denormal, {I} %yf, {I} %yi
  %xm = {widen_x}
  %ym = {widen_y}
  %d0 = sub {I} %xe, %ye
  %r0 = urem i64 %xm, %ym
  br label %loop
loop:
  %d = phi {I} [ %d0, %divide ], [ %d2, %step ]
  %r = phi i64 [ %r0, %divide ], [ %r2, %step ]
  %more = icmp ne {I} %d, 0
  br i1 %more, label %step, label %done
step:
  %many = icmp ugt {I} %d, {chunk}
  %s = select i1 %many, {I} {chunk}, {I} %d
  %s64 = {widen_s}
  %shifted = shl i64 %r, %s64
  %r2 = urem i64 %shifted, %ym
  %d2 = sub {I} %d, %s
  br label %loop
done:
  %rf = uitofp i64 %r to {F}
  %e = sub {I} %ye, {unit}
  %e1 = ashr {I} %e, 1
  %e2 = sub {I} %e, %e1
  %b1 = add {I} %e1, {bias}
  %b2 = add {I} %e2, {bias}
  %s1 = shl {I} %b1, {mantissa}
  %s2 = shl {I} %b2, {mantissa}
  %f1 = bitcast {I} %s1 to {F}
  %f2 = bitcast {I} %s2 to {F}
  %t1 = fmul {F} %rf, %f1
  %t2 = fmul {F} %t1, %f2
  %zb = bitcast {F} %t2 to {I}
  %sign = xor {I} %xs, %xb
  %zs = or {I} %zb, %sign
  %z = bitcast {I} %zs to {F}
  ret {F} %z
}}
"""


def _definition(symbol: str, bits: int) -> str:
    mantissa, exponent = (23, 8) if bits == 32 else (52, 11)
    integer, bias = f"i{bits}", (1 << (exponent - 1)) - 1

    def widen(name: str) -> str:
        # A 64-bit value is named again without a conversion: or with zero.
        return f"zext i32 {name} to i64" if bits == 32 else f"or i64 {name}, 0"

    return _TEMPLATE.format(
        symbol=symbol,
        F="float" if bits == 32 else "double",
        I=integer,
        mantissa=mantissa,
        magnitude=(1 << (bits - 1)) - 1,
        inf=((1 << exponent) - 1) << mantissa,
        fraction=(1 << mantissa) - 1,
        implicit=1 << mantissa,
        chunk=63 - mantissa,
        unit=bias + mantissa,
        bias=bias,
        widen_x=widen("%xm0"),
        widen_y=widen("%ym0"),
        widen_s=widen("%s"),
    )


REMAINDER_DEFINITIONS: Mapping[str, str] = {
    "jf_rem_f32": _definition("jf_rem_f32", 32),
    "jf_rem_f64": _definition("jf_rem_f64", 64),
}
"""LLVM definition of each remainder function by its symbol."""
