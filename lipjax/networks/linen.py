"""flax.linen modules as networks: the one place where flax's conventions meet lipjax's."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.types import KeyArray, Network, Output, State, Variables
from lipjax.values import setting


class LinenNetwork(Network):
    """A network that makes a flax.linen module: `params` and `state` are its `params` and `batch_stats`."""

    def module(self) -> nn.Module:
        """The module, called as `module(inputs, train)`."""
        raise NotImplementedError

    def init(self, key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        """Fresh variables for inputs of a shape, without the batch axis."""

        def create(key: KeyArray) -> Any:
            return self.module().init(key, jnp.zeros((1, *input_shape)), False)

        if not isinstance(key, jax.core.Tracer):
            leaves = jax.tree.leaves(jax.eval_shape(create, key))
            checks.fits_memory(f"{self!r} has", sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves))
        collections = create(key)
        return Variables(collections.get("params", {}), collections.get("batch_stats", {}))

    def apply(self, variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        """Output and new state for a batch; in evaluation mode the state is returned as it came."""
        collections = {"params": variables.params}
        if variables.state:
            collections["batch_stats"] = variables.state
        if not train or not variables.state:
            return Output(*self.module().apply(collections, inputs, train)), variables.state
        outputs, moved = self.module().apply(collections, inputs, train, mutable=["batch_stats"])
        return Output(*outputs), moved["batch_stats"]


class linen(LinenNetwork):
    """A network from a flax.linen module.

    Attributes:
        linen: Called as `linen(inputs, train)` with pixels in [0, 1]; returns `(logits, representations)`, the
            representations as a dict in depth order, each taken after its nonlinearity. Only its collection
            `batch_stats` may change in the forward pass.

    Examples:
        >>> import jax
        >>> class Linear(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, inputs, train):
        ...         return nn.Dense(2)(inputs), {}
        >>> network = linen(Linear())
        >>> network.init(jax.random.key(0), (3,)).params["Dense_0"]["kernel"].shape
        (3, 2)
    """

    linen: nn.Module = setting()

    def module(self) -> nn.Module:
        """The module that was given."""
        return self.linen


@partial(jax.jit, static_argnames="input_shape")
def applied_arrays(network: LinenNetwork, variables: Variables, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """The parameters that a frozen network has in place of these: what its layers apply, computed once."""
    collections = {"params": variables.params, "batch_stats": variables.state}
    inputs = jnp.zeros((1, *input_shape))
    _, noted = network.module().apply(collections, inputs, False, mutable=["intermediates"])
    return _replaced(variables.params, noted.get("intermediates", {}))


def _replaced(params: Any, noted: Any) -> dict[str, Any]:
    own = noted.get("frozen") or {name: leaf for name, leaf in params.items() if not isinstance(leaf, dict)}
    parts = {name for tree in (params, noted) for name, part in tree.items() if isinstance(part, dict)} - {"frozen"}
    return {**own, **{name: _replaced(params.get(name, {}), noted.get(name, {})) for name in sorted(parts)}}
