"""A flax.linen module as a `Network`: the one place where flax's conventions meet lipjax's."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax.types import KeyArray, Network, Output, State, Variables


def from_linen(module: nn.Module) -> Network:
    """A `Network` from a flax.linen module.

    Args:
        module: Called as `module(inputs, train)` with pixels in [0, 1]; returns `(logits, representations)`, the
            representations as a dict in depth order, each taken after its nonlinearity. Only its collection
            `batch_stats` may change in the forward pass.

    Returns:
        The network: `params` are the collection `params`, `state` is the collection `batch_stats`, or `{}` if the
        module has none. In evaluation mode the state is returned as it came.

    Example:
        >>> import jax
        >>> class Linear(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, inputs, train):
        ...         return nn.Dense(2)(inputs), {}
        >>> network = from_linen(Linear())
        >>> network.init(jax.random.key(0), (3,)).params["Dense_0"]["kernel"].shape
        (3, 2)
    """

    def init(key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        collections: Any = module.init(key, jnp.zeros((1, *input_shape)), False)
        return Variables(collections.get("params", {}), collections.get("batch_stats", {}))

    def apply(variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        collections = {"params": variables.params}
        if variables.state:
            collections["batch_stats"] = variables.state
        if not train or not variables.state:
            return Output(*module.apply(collections, inputs, train)), variables.state
        outputs, moved = module.apply(collections, inputs, train, mutable=["batch_stats"])
        return Output(*outputs), moved["batch_stats"]

    return Network(init, apply)
