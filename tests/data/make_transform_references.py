"""Make transform_references.npz: derivatives and vmap of small networks, by JAX.

Run from the root of the repository, with JAX installed:

    python tests/data/make_transform_references.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.transform_networks import Network, inputs_of, networks

KEY_SEED = 7


def leaves(name: str, value: object) -> dict[str, np.ndarray]:
    """The leaves of a nested result as ``name.0``, ``name.1``, ..."""
    flat = jax.tree_util.tree_leaves(value)
    return {f"{name}.{i}": np.asarray(leaf) for i, leaf in enumerate(flat)}


def references(net: Network) -> dict[str, np.ndarray]:
    """Everything the tests compare for one network."""
    params, x, batch = inputs_of(net)

    def loss(p: object, v: object) -> object:
        return jnp.sum(net.apply(jnp, p, v) ** 2)

    def output(p: object, v: object) -> object:
        return net.apply(jnp, p, v)

    tangent = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    found: dict[str, np.ndarray] = {}
    found |= leaves("value", output(params, x))
    found |= leaves("grad", jax.grad(loss)(params, x))
    found |= leaves("jacobian", jax.jacrev(output, argnums=1)(params, x))
    found |= leaves("jacobian_params", jax.jacfwd(output)(params, x))
    found |= leaves("hessian", jax.hessian(loss, argnums=1)(params, x))
    found |= leaves("jvp", jax.jvp(lambda v: output(params, v), (x,), (tangent,))[1])
    found |= leaves("vmap", jax.vmap(output, in_axes=(None, 0))(params, batch))
    per_example = jax.vmap(jax.grad(loss), in_axes=(None, 0))
    found |= leaves("vmap_grad", per_example(params, batch))
    of_batch = jax.vmap(jax.hessian(loss, argnums=1), in_axes=(None, 0))
    found |= leaves("vmap_hessian", of_batch(params, batch))
    return {f"{net.name}.{key}": value for key, value in found.items()}


def random_references() -> dict[str, np.ndarray]:
    """Uniform numbers of a batch of keys."""
    keys = jax.random.split(jax.random.key(KEY_SEED), 4)
    draw = jax.vmap(lambda key: jax.random.uniform(key, (3,), jnp.float32))
    return {
        "random.keys": np.asarray(jax.random.key_data(keys)),
        "random.uniform": np.asarray(draw(keys)),
    }


def main() -> None:
    """Write the file beside this script."""
    arrays: dict[str, np.ndarray] = {}
    with jax.enable_x64(True), jax.threefry_partitionable(True):
        for net in networks():
            arrays |= references(net)
        arrays |= random_references()
    target = Path(__file__).with_name("transform_references.npz")
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main()
