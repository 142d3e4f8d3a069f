"""What a call costs beside its work: an almost empty function, an eager addition."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from perf.workload import Build, Inputs, Step, Variant, Workload
from perf.workloads.styles import Expression, Make, compiled_variants


def _four() -> Inputs:
    return {"a": np.arange(4, dtype=np.float32)}


def _two_fours() -> Inputs:
    return {"a": np.arange(4, dtype=np.float32), "b": np.ones(4, np.float32)}


def _plus_one() -> Expression:
    return lambda a: a + 1


def _add_jitflow(inputs: Inputs) -> Step:
    import jitflow as jf

    a, b = (jf.asarray(array) for array in inputs.values())
    return lambda: a + b


def _add_numpy(inputs: Inputs) -> Step:
    a, b = inputs.values()
    return lambda: a + b


def _add_jax(inputs: Inputs) -> Step:
    import jax.numpy as jnp

    a, b = (jnp.asarray(array) for array in inputs.values())
    return lambda: a + b


def _add_torch(inputs: Inputs) -> Step:
    import torch

    a, b = (torch.from_numpy(array) for array in inputs.values())
    return lambda: a + b


def _add_tensorflow(inputs: Inputs) -> Step:
    import tensorflow as tf

    a, b = (tf.constant(array) for array in inputs.values())
    return lambda: a + b


EMPTY_CALL = Workload(
    name="empty_call",
    title="call of an almost empty function",
    inputs=_four,
    reference=lambda x: [x["a"] + 1],
    each=False,
    variants=tuple(
        variant
        for variant in compiled_variants(_plus_one, _plus_one, _plus_one, _plus_one)
        if variant.compiles
    ),
)

EAGER_ADD = Workload(
    name="eager_add",
    title="eager add of four elements",
    inputs=_two_fours,
    reference=lambda x: [x["a"] + x["b"]],
    each=False,
    variants=(
        Variant("jitflow", "jitflow", _add_jitflow),
        Variant("numpy", "numpy", _add_numpy),
        Variant("jax", "jax", _add_jax),
        Variant("torch", "torch", _add_torch),
        Variant("tensorflow", "tensorflow", _add_tensorflow),
    ),
)


def _eager(
    in_jitflow: Make, in_numpy: Make, in_jax: Make, in_torch: Make, in_tensorflow: Make
) -> tuple[Variant, ...]:
    """One expression of eager arrays in every framework."""

    def build(make: Make, convert: str) -> Build:
        def prepare(inputs: Inputs) -> Step:
            expression = make()
            arrays = [_CONVERT[convert](array) for array in inputs.values()]
            return lambda: expression(*arrays)

        return prepare

    makes = {
        "jitflow": in_jitflow,
        "numpy": in_numpy,
        "jax": in_jax,
        "torch": in_torch,
        "tensorflow": in_tensorflow,
    }
    return tuple(Variant(n, n, build(make, n)) for n, make in makes.items())


def _to_jitflow(array: np.ndarray) -> Any:
    import jitflow as jf

    return jf.asarray(array)


def _to_jax(array: np.ndarray) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(array)


def _to_torch(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array)


def _to_tensorflow(array: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.constant(array)


_CONVERT: dict[str, Callable[[np.ndarray], Any]] = {
    "jitflow": _to_jitflow,
    "numpy": lambda array: array,
    "jax": _to_jax,
    "torch": _to_torch,
    "tensorflow": _to_tensorflow,
}


def _namespace(module: str) -> Any:
    return importlib.import_module(module)


def _function(module: str, name: str) -> Make:
    return lambda: getattr(_namespace(module), name)


def _small_op(name: str, title: str, reference: Any, tensorflow: str) -> Workload:
    return Workload(
        name=f"eager_{name}",
        title=f"eager {title} of four elements",
        inputs=_four,
        reference=lambda x: [np.asarray(reference(x["a"]))],
        each=False,
        variants=_eager(
            _function("jitflow", name),
            _function("numpy", name),
            _function("jax.numpy", name),
            _function("torch", name),
            _function("tensorflow", tensorflow),
        ),
    )


EAGER_OPS = (
    _small_op("exp", "exp", np.exp, "exp"),
    _small_op("sum", "sum", np.sum, "reduce_sum"),
)
