"""A trained equinox module as a model."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float

from lipjax.networks.trained import Trained, evaluation_flags, line, model, refuse_other
from lipjax.types import Model, Variables
from lipjax.values import setting


class _Equinox(Trained):
    """An equinox module without its arrays; `params` and `state` are its arrays and its state."""

    home: ClassVar[str] = "equinox"

    static: Any = setting()
    flags: tuple[tuple[str, Any], ...] = setting(())

    def call(self, variables: Variables, inputs: Float[Array, "..."]) -> Any:
        import equinox

        module = equinox.combine(variables.params, self.static)
        if "state" not in variables.state:
            return module(inputs, **dict(self.flags))
        return module(inputs, variables.state["state"], **dict(self.flags))[0]


def from_equinox(
    module: Any,
    shape: tuple[int, ...],
    *,
    state: Any = None,
    prepare: Callable[[Any], Any] | None = None,
    logits: Callable[[Any], Any] | None = None,
    batched: bool = False,
) -> Model:
    """A trained equinox module as a model, in inference mode; needs equinox.

    Args:
        module: Called on one example, as `module(x)`, or `module(x, state)`, which returns the logits and a state. An
            argument `key` is given None.
        shape: Shape of one example as lipjax has it: height, width, channels, for images. Modules of equinox take
            channels first: `prepare=lambda images: jnp.moveaxis(images, -1, 1)`.
        state: Its state, where it has one (batch statistics).
        prepare: What is done to a batch of pixels in [0, 1] first: standardisation, another layout; None for nothing.
        logits: What of its outputs for a batch are the logits; None where they are.
        batched: Whether it takes batches; False for one example.

    Returns:
        The model: its function and its arrays.

    Raises:
        TypeError: If it is another framework's module.
        ValueError: If two examples of zeros do not become logits: with shapes, reason, and the line to write.

    Examples:
        >>> import equinox, jax.numpy as jnp
        >>> module = equinox.nn.Linear(2, 3, key=jax.random.key(0))
        >>> from_equinox(module, (2,)).single(jnp.zeros(2)).shape
        (3,)
    """
    shape = refuse_other("equinox", module, shape)
    import equinox

    call = type(module).__call__.__get__(module)
    takes = inspect.signature(call).parameters.get("state")
    if state is None and takes is not None and takes.default is takes.empty:
        raise ValueError(f"the equinox module takes its state: {line('equinox', shape, 'state=state')}")
    flags = evaluation_flags("equinox", call, "state")
    params, static = equinox.partition(
        equinox.nn.inference_mode(module), lambda leaf: isinstance(leaf, jax.Array | np.ndarray)
    )
    network = _Equinox(static, tuple(flags.items()), shape=shape, prepare=prepare, logits=logits, batched=batched)
    return model(network, Variables(params, {} if state is None else {"state": state}))
