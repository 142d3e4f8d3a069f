"""Small networks written once for any Array API namespace: JitFlow's or JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Network(NamedTuple):
    """A function ``apply(xp, params, x)`` and the shapes of what it takes."""

    name: str
    apply: Callable[[Any, dict[str, Any], Any], Any]
    params: dict[str, tuple[int, ...]]
    input: tuple[int, ...]


def _mlp(xp: Any, p: dict[str, Any], x: Any) -> Any:
    hidden = xp.tanh(x @ p["w1"] + p["b1"])
    return hidden @ p["w2"] + p["b2"]


def _attention(xp: Any, p: dict[str, Any], x: Any) -> Any:
    query, key, value = x @ p["q"], x @ p["k"], x @ p["v"]
    scores = query @ xp.matrix_transpose(key) / 2.0
    weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    return (weights / xp.sum(weights, axis=-1, keepdims=True)) @ value


def _normalised(xp: Any, p: dict[str, Any], x: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    scale = xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    gates = xp.stack([xp.sin(x), xp.log1p(x * x), xp.maximum(x, 0.1)], axis=0)
    return xp.sum(gates * (centred / scale * p["gain"]), axis=0)


def _recurrent(xp: Any, p: dict[str, Any], x: Any) -> Any:
    state = xp.zeros_like(x[0] @ p["w"])
    for i in range(x.shape[0]):
        state = xp.tanh(x[i] @ p["w"] + state @ p["u"])
    return xp.concat([state, state[::-1] * state], axis=0)


def networks() -> tuple[Network, ...]:
    """All of them."""
    return (
        Network(
            "mlp",
            _mlp,
            {"b1": (5,), "b2": (2,), "w1": (3, 5), "w2": (5, 2)},
            (3,),
        ),
        Network(
            "attention", _attention, {"k": (3, 2), "q": (3, 2), "v": (3, 2)}, (4, 3)
        ),
        Network("normalised", _normalised, {"gain": (6,)}, (6,)),
        Network("recurrent", _recurrent, {"u": (3, 3), "w": (2, 3)}, (3, 2)),
    )


def inputs_of(net: Network) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Parameters, one input and a batch of four, in float64, always the same."""
    rng = np.random.default_rng(sum(map(ord, net.name)))
    params = {key: rng.normal(size=shape) for key, shape in net.params.items()}
    return params, rng.normal(size=net.input), rng.normal(size=(4, *net.input))
