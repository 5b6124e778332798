"""A trained flax.linen module as a model."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from lipjax.networks.trained import Trained, evaluation_flags, model, refuse_other
from lipjax.types import Model, Variables
from lipjax.values import setting

_TRAINING = (
    "It is in training mode: give its `__call__` an argument `train`, which is set to False here, and hand it on to "
    "nn.Dropout(rate, deterministic=not train) and nn.BatchNorm(use_running_average=not train)"
)


class _Linen(Trained):
    """A flax.linen module; `params` and `state` are its collection `params` and all others."""

    home: ClassVar[str] = "flax.linen"
    hints: ClassVar[Mapping[str, str]] = {
        "InvalidRngError": _TRAINING,
        "ModifyScopeVariableError": _TRAINING,
        "ScopeCollectionNotFound": "The variables are all collections that `init` returned, as training moved them: "
        'networks.from_linen(module, {"params": params, "batch_stats": batch_stats}, shape)',
    }

    module: nn.Module = setting()
    flags: tuple[tuple[str, Any], ...] = setting(())

    def call(self, variables: Variables, inputs: Float[Array, "..."]) -> Any:
        return self.module.apply({"params": variables.params, **variables.state}, inputs, **dict(self.flags))


def from_linen(
    module: Any,
    variables: Mapping[str, Any],
    shape: tuple[int, ...],
    *,
    prepare: Callable[[Any], Any] | None = None,
    logits: Callable[[Any], Any] | None = None,
    batched: bool = True,
) -> Model:
    """A trained flax.linen module as a model, in evaluation mode; `linen` is a network that trains.

    Args:
        module: A `flax.linen.Module`, called as `module.apply(variables, inputs)`. An argument `train`, `training`,
            `is_training`, `deterministic`, `inference` or `use_running_average` of its `__call__` is given what
            evaluation needs.
        variables: All its collections: `{"params": ..., "batch_stats": ...}`.
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
        >>> import jax, jax.numpy as jnp
        >>> module = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(3)])
        >>> variables = module.init(jax.random.key(0), jnp.zeros((1, 2)))
        >>> from_linen(module, variables, (2,)).single(jnp.zeros(2)).shape
        (3,)
    """
    shape = refuse_other("flax.linen", module, shape)
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise ValueError(
            "variables are all collections of the module, and have no 'params'; if these are the parameters: "
            f'networks.from_linen(module, {{"params": params}}, {shape})'
        )
    flags = evaluation_flags("flax.linen", type(module).__call__.__get__(module))
    state = {name: collection for name, collection in variables.items() if name != "params"}
    network = _Linen(module, tuple(flags.items()), shape=shape, prepare=prepare, logits=logits, batched=batched)
    return model(network, Variables(variables["params"], state))
