"""Two pure functions as a network, for what comes from elsewhere."""

from collections.abc import Callable

from jaxtyping import Array, Float

from lipjax.types import KeyArray, Network, Output, State, Variables
from lipjax.values import setting


class from_functions(Network):
    """A network from two pure functions.

    Attributes:
        create: `(key, input_shape) -> Variables`.
        run: `(variables, inputs, *, train) -> (Output, state)`, for pixels in [0, 1].

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> network = from_functions(
        ...     lambda key, input_shape: Variables(jnp.ones((*input_shape, 2)), {}),
        ...     lambda variables, inputs, *, train: (Output(inputs @ variables.params, {}), {}),
        ... )
        >>> network.apply(network.init(jax.random.key(0), (3,)), jnp.ones((1, 3)), train=False)[0].logits
        Array([[3., 3.]], dtype=float32)
    """

    create: Callable[[KeyArray, tuple[int, ...]], Variables] = setting()
    run: Callable[..., tuple[Output, State]] = setting()

    def init(self, key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        """Fresh variables."""
        return self.create(key, input_shape)

    def apply(self, variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        """Output and new state for a batch."""
        return self.run(variables, inputs, train=train)
