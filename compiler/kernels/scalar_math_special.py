"""Inverse error function, log-gamma and digamma; f32 is computed in f64."""

from __future__ import annotations

import math

from compiler.kernels.scalar_dsl import (
    Definition,
    Format,
    Num,
    call,
    fma,
    horner,
    literal_like,
    select,
    through_f64,
    unary,
)

_HALF_LOG_TWO_PI = 0.9189385332046728
_LOG_PI = 1.1447298858494002
# Stirling's series: B(2k) / (2k (2k-1)) and B(2k) / (2k)
_STIRLING = (
    1 / 12,
    -1 / 360,
    1 / 1260,
    -1 / 1680,
    1 / 1188,
    -691 / 360360,
    1 / 156,
    -3617 / 122400,
)
_DIGAMMA = (
    1 / 12,
    -1 / 120,
    1 / 252,
    -1 / 240,
    1 / 132,
    -691 / 32760,
    1 / 12,
    -3617 / 8160,
)
# lgamma(2+y) / y on |y| <= 1/2
_LOG_GAMMA = (
    0.42278433509846713,
    0.3224670334241132,
    -0.06735230105319694,
    0.020580808427787176,
    -0.0073855510287529425,
    0.002890510330586401,
    -0.0011927539092864586,
    0.0005096695292055295,
    -0.00022315479780919218,
    9.945744032741389e-05,
    -4.492587184523199e-05,
    2.0507924582155146e-05,
    -9.441408197976937e-06,
    4.370524946473864e-06,
    -2.0341331138496014e-06,
    9.714038003167924e-07,
    -4.5193023675758924e-07,
    1.7682877399666108e-07,
    -1.15960268164115e-07,
    8.528718696717144e-08,
)
# erf_inv(x)/x as a polynomial in w - 5/2, w = -log(1 - x**2) < 5; then in
# sqrt(w) - 3 up to 16, and in sqrt(w) - 5 beyond
_ERF_INV_CENTRE = (
    1.501409351110792,
    0.246640276744167,
    -0.004177317724384536,
    -0.0012527079078110113,
    0.0002182502643478353,
    -4.9960795989302575e-06,
    -3.416619603780178e-06,
    4.787252186668034e-07,
    1.3416811422710867e-08,
    -1.0861169080563136e-08,
    9.072986693844808e-10,
    1.1960707504422882e-10,
    -3.1100708692334724e-11,
    9.115318519324253e-13,
    5.350657940201406e-13,
    -7.611784429911585e-14,
    -2.779677258127812e-15,
    1.8952322581877268e-15,
    -1.4798491230331767e-16,
    -2.6669152695800228e-17,
    5.635454274507321e-18,
    1.6038215045392503e-19,
    -8.907691779744632e-20,
    2.5750976328099454e-22,
)
_ERF_INV_MIDDLE = (
    2.8329767987282706,
    1.0016752766934,
    0.009445522012006293,
    -0.007643805570088865,
    0.0056851824172900805,
    -0.0035587940148587133,
    0.0014837373545497667,
    -0.00014889812232573562,
    -0.00028312453177226435,
    0.00020551680014619373,
    -4.645968363062724e-05,
    -2.287452169509118e-05,
    2.193144580982529e-05,
    -5.94115683171708e-06,
    -1.6447430566290507e-06,
    1.980227639803894e-06,
    -6.538577178849088e-07,
    -4.1491878753089846e-08,
    1.686430580957098e-07,
    -1.0880088460531312e-07,
    1.1341612339398663e-08,
    3.891146150857731e-08,
    -2.1006221452646364e-08,
    -5.029096830615261e-09,
    6.921360104316214e-09,
    -1.5549918209357796e-09,
)
_ERF_INV_TAIL = (
    4.849906401408584,
    1.0103004648645448,
    -0.00013871931838534203,
    -0.00021503011979933975,
    7.599527819581115e-05,
    -1.9681771178976343e-05,
    4.526051660161789e-06,
    -9.930256952820361e-07,
    2.2905697909521475e-07,
    -6.757168797089624e-08,
    2.900664267701287e-08,
    -1.5216653554708005e-08,
    7.843084720621087e-09,
    -3.5291977932673767e-09,
    1.2914645373852864e-09,
    -3.855164108900768e-10,
    8.649397620114229e-11,
    1.717229459752692e-11,
    -2.6874814413781934e-11,
    5.357935705794779e-12,
    1.0541456080243953e-12,
)


def _erf_inv(fmt: Format, x: Num) -> Num:
    w = -call("log", (1.0 - x) * (x + 1.0))
    root = unary("sqrt", w)
    far = select(
        w < 16.0,
        horner(root - 3.0, _ERF_INV_MIDDLE),
        horner(root - 5.0, _ERF_INV_TAIL),
    )
    value = x * select(w < 5.0, horner(w - 2.5, _ERF_INV_CENTRE), far)
    return select(abs(x).equals(1.0), x * math.inf, value)


def _log_gamma_near(x: Num) -> Num:
    """0 <= x < 9: shifted into [3/2, 5/2] by factors, whose logarithm is added.

    The distance to 2, where lgamma is zero, is taken from x itself: rounding the
    shifted argument would lose it near 1.
    """
    y = x
    above = below = literal_like(1.0, x)
    origin = literal_like(2.0, x)
    for _ in range(7):
        high = y > 2.5
        y = select(high, y - 1.0, y)
        above = select(high, above * y, above)
        origin = select(high, origin + 1.0, origin)
    for _ in range(2):
        low = y < 1.5
        below = select(low, below * y, below)
        y = select(low, y + 1.0, y)
        origin = select(low, origin - 1.0, origin)
    # At most one of the products is not one.
    correction = call("log", above) - call("log", below)
    near = x - origin
    return fma(near, horner(near, _LOG_GAMMA), correction)


def _log_gamma_far(x: Num) -> Num:
    inverse = 1.0 / x
    series = inverse * horner(inverse * inverse, _STIRLING)
    log_x = call("log", x)
    return fma(x - 0.5, log_x - 1.0, _HALF_LOG_TWO_PI - 0.5 + series)


def sine_pi(x: Num) -> tuple[Num, Num]:
    """``sin(pi x)`` and ``cos(pi x)`` up to a common sign; exact reduction."""
    r = (x - unary("rint", x)) * math.pi
    return call("sine", r), call("cosine", r)


def _lgamma(fmt: Format, x: Num) -> Num:
    negative = x < 0.0
    positive = select(negative, 1.0 - x, x)
    near = positive < 8.5
    value = select(
        near,
        _log_gamma_near(select(near, positive, 2.0)),
        _log_gamma_far(select(near, 9.0, positive)),
    )
    sine, _ = sine_pi(x)
    reflected = _LOG_PI - call("log", abs(sine)) - value
    value = select(negative, reflected, value)
    return select(abs(x).equals(math.inf), math.inf, value)


def _digamma(fmt: Format, x: Num) -> Num:
    """Recurrence up to 8, summed as one fraction, then the asymptotic series."""
    negative = x < 0.0
    y = select(negative, 1.0 - x, x)
    over, under = fmt.num(0.0), fmt.num(1.0)
    for _ in range(8):
        small = y < 8.0
        over = select(small, fma(over, y, under), over)
        under = select(small, under * y, under)
        y = select(small, y + 1.0, y)
    inverse = 1.0 / y
    square = inverse * inverse
    series = fma(square, horner(square, _DIGAMMA), 0.5 * inverse)
    value = call("log", y) - series - over / under
    sine, cosine = sine_pi(x)
    value = select(negative, value - math.pi * cosine / sine, value)
    pole = (x < 0.0) & x.equals(unary("floor", x))
    value = select(pole, math.nan, value)
    value = select(x.equals(0.0), -1.0 / x, value)
    return select(x.equals(math.inf), x, value)


SPECIAL = (
    Definition("erf_inv", through_f64("erf_inv", _erf_inv), 1.0, 4.0),
    Definition("lgamma", through_f64("lgamma", _lgamma), 1.0, 8.0),
    Definition("digamma", through_f64("digamma", _digamma), 1.0, 8.0),
)
"""The definitions of this file, with their error bounds.

Those of lgamma and digamma hold for positive arguments, relative to the larger of one
and the result: next to a zero of digamma, and of either for negative arguments, only
the absolute error is small.
"""
