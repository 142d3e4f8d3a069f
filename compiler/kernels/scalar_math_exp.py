"""Exponential, expm1, tanh, logistic and erf as scalar expressions."""

from __future__ import annotations

from compiler.kernels.scalar_dsl import (
    Definition,
    Format,
    Num,
    at_least,
    at_most,
    copysign,
    fma,
    horner,
    nearest_integer,
    power_of_two,
    scale_by_power,
    select,
)

LOG2_E = 1.4426950408889634
# ln 2 as a sum of two numbers of each format.
LN2_F32 = (0.6931471824645996, -1.9046542121259336e-09)
LN2_F64 = (0.6931471805599453, 2.3190468138462996e-17)

# (expm1(r) - r) / r**2 on |r| <= ln(2)/2
_EXPM1_F32 = (
    0.5,
    0.1666666716337204,
    0.041666481643915176,
    0.008333190344274044,
    0.0013933355221524835,
    0.00019959981727879494,
)
_EXPM1_F64 = (
    0.5,
    0.16666666666666677,
    0.041666666666666685,
    0.008333333333321459,
    0.0013888888888873045,
    0.00019841269886504672,
    2.480158735002048e-05,
    2.7557243863086464e-06,
    2.755725093434986e-07,
    2.510914969411864e-08,
    2.0922075449001683e-09,
)
# erf(x)/x - 1 as a polynomial in x**2 on |x| <= 1
_ERF_F32 = (
    0.12837916612625122,
    -0.3761262893676758,
    0.11283618956804276,
    -0.02685517445206642,
    0.005190845113247633,
    -0.0008031847537495196,
    7.924201781861484e-05,
)
_ERF_F64 = (
    0.1283791670955126,
    -0.3761263890318388,
    0.11283791670959031,
    -0.026866170645673905,
    0.0052239776296169205,
    -0.0008548327218994567,
    0.00012055338827663935,
    -1.4925763203497464e-05,
    1.6463474994735012e-06,
    -1.6374664901081708e-07,
    1.4813073379692084e-08,
    -1.1931028891986357e-09,
    6.851313101421243e-11,
)
# -log(erfc(x)) on [1, 3.95] and [1, 5.95]
_LOG_ERFC_F32 = (
    0.0003194657911080867,
    1.127176284790039,
    0.6380043029785156,
    0.10322525352239609,
    -0.02189309522509575,
    0.0029609943740069866,
    -0.00018769597227219492,
)
_LOG_ERFC_F64 = (
    1.645432313170252e-07,
    1.1283774763892083,
    0.6366278196984524,
    0.10274913709554047,
    -0.01908183851085249,
    -0.0002751873871665367,
    0.0017631759588917892,
    -0.0006361784727504467,
    4.143529067220515e-05,
    7.219713911628525e-05,
    -4.5827448737261e-05,
    1.678563409644291e-05,
    -4.4009306072622645e-06,
    8.662498469895109e-07,
    -1.2824221744403975e-07,
    1.3929043754516707e-08,
    -1.0506771175831963e-09,
    4.923688977503772e-11,
    -1.080000876342915e-12,
)


def reduce_exp(fmt: Format, x: Num, correction: Num | None = None) -> tuple[Num, Num]:
    """``x = n ln 2 + r`` and then ``expm1(r)``: answers ``(expm1(r), n)``.

    `x` must be clamped to a range in which `n` is a valid exponent; NaN passes
    through the first result. A `correction` below the last place of `x` is added.
    """
    high, low = fmt.pick(LN2_F32, LN2_F64)
    n_float, n = nearest_integer(fmt, x * LOG2_E)
    r = fma(-n_float, high, x)
    r = fma(-n_float, low, r if correction is None else r + correction)
    q = horner(r, fmt.pick(_EXPM1_F32, _EXPM1_F64))
    return fma(r * r, q, r), n


def _exponential(fmt: Format, x: Num) -> Num:
    low, high = fmt.pick((-104.0, 89.0), (-746.0, 710.0))
    tail, n = reduce_exp(fmt, at_most(at_least(x, low), high))
    return scale_by_power(fmt, tail + 1.0, n)


def _exponential_minus_one(fmt: Format, x: Num) -> Num:
    """Computed at half scale: 2**n itself overflows just below the overflow of exp."""
    low, high = fmt.pick((-18.0, 89.0), (-38.0, 710.0))
    tail, n = reduce_exp(fmt, at_most(at_least(x, low), high))
    half = power_of_two(fmt, n - 1)
    value = fma(half, tail, half - 0.5)
    tiny = abs(x) < 2.0 ** -(fmt.mantissa + 2)  # keeps -0 and denormals
    return select(tiny, x, value + value)


def _tanh(fmt: Format, x: Num) -> Num:
    (limit,) = fmt.pick((10.0,), (20.0,))  # beyond it the result rounds to one
    size = at_most(abs(x), limit)
    tail, n = reduce_exp(fmt, size + size)
    power = power_of_two(fmt, n)
    growth = fma(power, tail, power - 1.0)
    return copysign(growth / (growth + 2.0), x)


def _logistic(fmt: Format, x: Num) -> Num:
    """With exp of the negative size: no overflow, and denormal results are exact."""
    small = _exponential(fmt, -abs(x))
    return select(x < 0.0, small, 1.0) / (small + 1.0)


def _erf(fmt: Format, x: Num) -> Num:
    (limit,) = fmt.pick((3.95,), (5.95,))  # beyond it the result rounds to one
    size = at_most(abs(x), limit)
    near = horner(x * x, fmt.pick(_ERF_F32, _ERF_F64))
    exponent = horner(size, fmt.pick(_LOG_ERFC_F32, _LOG_ERFC_F64))
    # Where |x| < 1 the far branch is not used but must stay in range for exp.
    tail, n = reduce_exp(fmt, -exponent)
    power = power_of_two(fmt, n)
    far = copysign((1.0 - power) - power * tail, x)
    tiny = abs(x) < fmt.smallest_normal
    return select(size < 1.0, select(tiny, x + x * near, fma(x, near, x)), far)


EXPONENTIALS = (
    Definition("exponential", _exponential, 1.0, 1.0),
    Definition("exponential_minus_one", _exponential_minus_one, 1.5, 2.0),
    Definition("tanh", _tanh, 2.5, 3.0),
    Definition("logistic", _logistic, 2.5, 2.5),
    Definition("erf", _erf, 1.0, 1.0),
)
"""The definitions of this file, with their error bounds."""
