"""A trained flax.nnx module as a model."""

from collections.abc import Callable
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array, Float

from lipjax.networks.trained import Trained, evaluation_flags, model, refuse_other
from lipjax.types import Model, Variables
from lipjax.values import setting


class _Nnx(Trained):
    """A flax.nnx module without its arrays; `params` and `state` are its parameters and all others."""

    home: ClassVar[str] = "flax.nnx"

    graph: Any = setting()
    flags: tuple[tuple[str, Any], ...] = setting(())

    def call(self, variables: Variables, inputs: Float[Array, "..."]) -> Any:
        return nnx.merge(self.graph, variables.params, variables.state)(inputs, **dict(self.flags))


def from_nnx(
    module: Any,
    shape: tuple[int, ...],
    *,
    prepare: Callable[[Any], Any] | None = None,
    logits: Callable[[Any], Any] | None = None,
    batched: bool = True,
) -> Model:
    """A trained flax.nnx module as a model, in evaluation mode; the module is copied and stays as it is.

    Args:
        module: A `flax.nnx.Module`, called as `module(inputs)`.
        shape: Shape of one example as lipjax has it: height, width, channels, for images.
        prepare: What is done to a batch of pixels in [0, 1] first: standardisation, flattening; None for nothing.
        logits: What of its outputs for a batch are the logits; None where they are.
        batched: Whether it takes batches; False for one example.

    Returns:
        The model: its function and its arrays.

    Raises:
        TypeError: If it is another framework's module.
        ValueError: If two examples of zeros do not become logits: with shapes, reason, and the line to write.

    Examples:
        >>> import jax.numpy as jnp
        >>> module = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        >>> from_nnx(module, (2,)).single(jnp.zeros(2)).shape
        (3,)
    """
    shape = refuse_other("flax.nnx", module, shape)
    flags = evaluation_flags("flax.nnx", type(module).__call__.__get__(module))
    copy = nnx.clone(module)
    copy.eval()
    graph, params, state = nnx.split(copy, nnx.Param, ...)
    network = _Nnx(graph, tuple(flags.items()), shape=shape, prepare=prepare, logits=logits, batched=batched)
    return model(network, Variables(params, state))
