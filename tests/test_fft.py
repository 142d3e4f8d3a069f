"""Fourier transforms: NumPy's values, inverses, gradients, odd sizes, errors."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf
from jitflow import fft
from jitflow.errors import ArgumentError, DTypeError
from jitflow.testing import check_gradients

RNG = np.random.default_rng(0)
REAL = ("rfft", "ihfft", "rfftn", "rfft2")


def close(actual, expected, rtol=1e-10, atol=1e-11):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def signal(name, shape):
    x = RNG.normal(size=shape)
    return x if name in REAL else x + 1j * RNG.normal(size=shape)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [None, 1, 3, 6, 9])
def test_one_dimension(name, norm, n):
    for shape, axis in [((8,), -1), ((7,), 0), ((4, 5), 0), ((2, 5, 3), -2)]:
        x = signal(name, shape)
        how = {"n": n, "axis": axis, "norm": norm}
        close(getattr(fft, name)(x, **how), getattr(np.fft, name)(x, **how))


CASES = [
    {},
    {"axes": (0, 2)},
    {"axes": (1,)},
    {"axes": (1, 2, 3, 4), "norm": "ortho"},
    {"s": (3, 8), "axes": (1, 3)},
    {"s": (4, 2), "axes": (-1, 0), "norm": "forward"},
]


@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
@pytest.mark.parametrize("how", CASES, ids=str)
def test_several_dimensions(name, how):
    x = signal(name, (3, 4, 5, 6, 2))
    close(getattr(fft, name)(x, **how), getattr(np.fft, name)(x, **how))


@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2"])
def test_two_dimensions(name):
    x = signal(name, (2, 4, 5))
    close(getattr(fft, name)(x), getattr(np.fft, name)(x))
    close(getattr(fft, name)(x, s=(3, 6)), getattr(np.fft, name)(x, s=(3, 6)))


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_inverses(norm):
    x = signal("fftn", (4, 5, 6))
    close(fft.ifftn(fft.fftn(x, norm=norm), norm=norm), x)
    close(fft.irfftn(fft.rfftn(x.real, norm=norm), s=x.shape, norm=norm), x.real)
    close(fft.hfft(fft.ihfft(x.real, norm=norm), n=6, norm=norm), x.real)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies_and_shifts(n):
    for name in ("fftfreq", "rfftfreq"):
        expected = getattr(np.fft, name)(n, 0.1)
        close(getattr(fft, name)(n, d=0.1, dtype="float64"), expected)
        assert getattr(fft, name)(n).dtype == "float32"
    x = np.arange(n * 6).reshape(n, 2, 3)
    for name in ("fftshift", "ifftshift"):
        for axes in (None, 0, (0, 2)):
            expected = getattr(np.fft, name)(x, axes=axes)
            close(getattr(fft, name)(x, axes=axes), expected)
    close(fft.ifftshift(fft.fftshift(x)), x)


def test_dtypes():
    x = np.arange(4)
    assert fft.fft(x).dtype == "complex64"
    assert fft.fft(x.astype(np.float64)).dtype == "complex128"
    assert fft.rfft(x.astype(np.float16)).dtype == "complex64"
    assert fft.irfft(x.astype(np.complex64)).dtype == "float32"
    assert fft.hfft(x.astype(np.complex128)).dtype == "float64"
    assert fft.fft(np.zeros((0, 4))).shape == (0, 4)
    assert fft.rfft(np.zeros((0, 4))).shape == (0, 3)


DIFFERENTIABLE = {
    "fft": lambda x: jf.abs(fft.fft(x)) ** 2,
    "ifft": lambda x: jf.real(fft.ifft(jf.complex(x, x * x))),
    "rfft": lambda x: jf.real(fft.rfft(x, n=7)) + jf.imag(fft.rfft(x, n=7)),
    "irfft": lambda x: fft.irfft(jf.complex(x, x * x)),
    "hfft": lambda x: fft.hfft(jf.complex(x, x * x), n=5),
    "ihfft": lambda x: jf.imag(fft.ihfft(x)),
    "rfftn": lambda x: jf.abs(fft.rfftn(x, norm="ortho")),
    "irfftn": lambda x: fft.irfftn(jf.complex(x, x * x)),
    "fftshift": lambda x: fft.fftshift(x * x),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients(name):
    check_gradients(
        DIFFERENTIABLE[name], [RNG.normal(size=(3, 5))], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_compiled_and_batched_are_eager(name):
    f = DIFFERENTIABLE[name]
    xs = jf.asarray(RNG.normal(size=(2, 3, 5)))
    eager = [np.asarray(f(x)) for x in xs]
    close(jf.function(f)(xs[0]), eager[0])
    close(jf.vmap(f)(xs), np.stack(eager))


def test_bad_arguments_are_explained():
    x = np.ones((3, 4))
    for call, kind, words in [
        (lambda: fft.fft(x, norm="wild"), ArgumentError, "norm"),
        (lambda: fft.hfft(x, norm="wild"), ArgumentError, "norm"),
        (lambda: fft.fft(x, n=0), ArgumentError, "points"),
        (lambda: fft.rfft(x + 1j), DTypeError, "real"),
        (lambda: fft.fftn(x, s=(2,), axes=(0, 1)), ArgumentError, "pair"),
        (lambda: fft.fftn(x, axes=(0, 0)), ArgumentError, "twice"),
        (lambda: fft.fftfreq(0), ArgumentError, "positive"),
        (lambda: fft.fftfreq(3, dtype="int32"), DTypeError, "float"),
        (lambda: fft.rfftfreq(3, device="tpu"), ArgumentError, "device"),
    ]:
        with pytest.raises(kind, match=words):
            call()
