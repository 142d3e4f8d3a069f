"""Loops and large graphs: a scan of 1,000 steps; tracing and compiling many ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from perf.workload import Inputs, Workload
from perf.workloads.styles import Expression, Variant, jax, jitflow

STEPS, ROWS, WIDTH = 1000, 32, 64


def _inputs() -> Inputs:
    rng = np.random.default_rng(0)
    return {
        "w": (rng.normal(size=(WIDTH, WIDTH)) * 0.1).astype(np.float32),
        "h": np.zeros((ROWS, WIDTH), np.float32),
        "xs": rng.normal(size=(STEPS, ROWS, WIDTH)).astype(np.float32),
    }


def _forward(x: Inputs) -> list[np.ndarray]:
    w, h = (x[k].astype(np.float64) for k in ("w", "h"))
    for step in x["xs"]:
        h = np.tanh(h @ w + step)
    return [h]


def _gradient(x: Inputs) -> list[np.ndarray]:
    w, h = (x[k].astype(np.float64) for k in ("w", "h"))
    states = [h]
    for step in x["xs"]:
        states.append(np.tanh(states[-1] @ w + step))
    g, dw = np.ones_like(h), np.zeros_like(w)
    for before, after in zip(states[-2::-1], states[:0:-1], strict=True):
        g = g * (1 - after * after)
        dw += before.T @ g
        g = g @ w.T
    return [dw]


def _scan_jitflow() -> Expression:
    import jitflow as jf

    def forward(w: Any, h: Any, xs: Any) -> Any:
        def body(h: Any, x: Any) -> Any:
            h = jf.tanh(h @ w + x)
            return h, None

        return jf.scan(body, h, xs)[0]

    return forward


def _scan_jax() -> Expression:
    import jax
    import jax.numpy as jnp

    def forward(w: Any, h: Any, xs: Any) -> Any:
        def body(h: Any, x: Any) -> Any:
            h = jnp.tanh(h @ w + x)
            return h, None

        return jax.lax.scan(body, h, xs)[0]

    return forward


def _gradient_jitflow() -> Expression:
    import jitflow as jf

    forward = _scan_jitflow()
    return jf.grad(lambda w, h, xs: jf.sum(forward(w, h, xs)))


def _gradient_jax() -> Expression:
    import jax
    import jax.numpy as jnp

    forward = _scan_jax()
    return jax.grad(lambda w, h, xs: jnp.sum(forward(w, h, xs)))


SCAN = Workload(
    name="scan",
    title=f"scan of {STEPS} steps, tanh(h @ w + x), {ROWS}x{WIDTH}",
    inputs=_inputs,
    reference=_forward,
    rtol=1e-3,
    variants=(
        Variant("jitflow", "jitflow", jitflow(_scan_jitflow)),
        Variant("jax", "jax", jax(_scan_jax)),
    ),
    first_call=True,
)

SCAN_GRADIENT = Workload(
    name="scan_gradient",
    title=f"gradient of that scan of {STEPS} steps",
    inputs=_inputs,
    reference=_gradient,
    rtol=1e-2,
    variants=(
        Variant("jitflow", "jitflow", jitflow(_gradient_jitflow)),
        Variant("jax", "jax", jax(_gradient_jax)),
    ),
)


def _small() -> Inputs:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(16, 16)).astype(np.float32)}


def _long(x: Any, tanh: Any, count: int) -> Any:
    """`count` ops that no simplification shortens."""
    y = x
    for i in range(count // 2):
        y = tanh(y + x) if i % 2 else tanh(y * x)
    return y


def _growing(count: int) -> Workload:
    """First calls only: what tracing and compiling `count` ops costs."""

    def in_jitflow() -> Expression:
        import jitflow as jf

        return lambda x: _long(x, jf.tanh, count)

    def in_jax() -> Expression:
        import jax.numpy as jnp

        return lambda x: _long(x, jnp.tanh, count)

    return Workload(
        name=f"graph_{count}",
        title=f"a graph of {count:,} ops",
        inputs=_small,
        reference=lambda x: [_long(x["x"].astype(np.float64), np.tanh, count)],
        rtol=1e-3,
        variants=(
            Variant("jitflow", "jitflow", jitflow(in_jitflow)),
            Variant("jax", "jax", jax(in_jax)),
        ),
        first_call=True,
        steady=False,
    )


GRAPHS: tuple[Workload, ...] = tuple(_growing(n) for n in (100, 1_000, 10_000))
