"""A trained PyTorch module as a model."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax.networks.trained import BATCHED, Remedy, Trained, checked, evaluation_flags, refuse_other
from lipjax.types import Model, Variables
from lipjax.values import Json, setting


class _Torch(Trained):
    """A PyTorch module with its weights; it has no variables."""

    home: ClassVar[str] = "torch.nn"
    module: Any = setting()
    channels_first: bool = setting(True)
    classes: int = setting(0)

    def prepared(self, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        """What the module is given."""
        inputs = inputs if self.prepare is None else self.prepare(inputs)
        return jnp.moveaxis(inputs, -1, 1) if self.channels_first and inputs.ndim == 4 else inputs

    @property
    def _calls(self) -> Any:
        return self.module.logits(self.logits, self.batched, self.classes)

    def outputs(self, variables: Variables, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        return self._calls.of(self.prepared(inputs))

    def tried(self, variables: Variables) -> Any:
        return self._calls.outputs(self.prepared(jnp.zeros((2, *self.shape))))

    def remedies(self) -> Iterable[Remedy]:
        import torch

        return (
            Remedy("channels_first=False", {"channels_first": False}),
            *BATCHED,
            Remedy("", {"module": self.module.flattened()}, "torch.nn.Sequential(torch.nn.Flatten(), module)"),
            Remedy("logits=lambda z: torch.stack([0 * z, z], -1)", {"logits": lambda z: torch.stack([0 * z, z], -1)}),
            Remedy("logits=lambda z: torch.cat([0 * z, z], -1)", {"logits": lambda z: torch.cat([0 * z, z], -1)}),
        )

    def identity(self, variables: Variables) -> Json:
        """Its text, its weights, and what it answers to a few inputs, since Python code has no digest."""
        probes = np.random.default_rng(0).random((4, *self.shape), dtype=np.float32)
        answers = self._calls.outputs(self.prepared(jnp.asarray(probes)))
        program = hashlib.sha256(f"{self.module.digest}{answers.tolist()}".encode())
        return {"network": self.home, "program": program.hexdigest()}


def from_torch(
    module: Any,
    shape: tuple[int, ...],
    *,
    prepare: Callable[[Any], Any] | None = None,
    logits: Callable[[Any], Any] | None = None,
    batched: bool = True,
    channels_first: bool = True,
) -> Model:
    """A trained PyTorch module as a model, in evaluation mode; needs PyTorch (`pip install lipjax[torch]`).

    Its values and derivatives are computed by PyTorch, on a copy of the module and on the module's device, whenever a
    program of JAX asks for them. So attacks, estimators and measurements work as with any model; upper bounds, which
    need to see the layers, are infinite.

    Args:
        module: A `torch.nn.Module`, called as `module(inputs)`.
        shape: Shape of one example as lipjax has it: height, width, channels, for images, whatever the module takes.
        prepare: What is done to a batch of pixels in [0, 1] before, in JAX and in lipjax's layout: standardisation;
            None for nothing.
        logits: What of its outputs for a batch are the logits, in PyTorch; None where they are.
        batched: Whether it takes batches; False for one example.
        channels_first: Whether images are given to it as `[batch, channels, height, width]`; False leaves
            `[batch, height, width, channels]`.

    Returns:
        The model: its function with its weights.

    Raises:
        TypeError: If it is another framework's module.
        ValueError: If two examples of zeros do not become logits: with shapes, reason, and the line to write.

    Examples:
        >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))  # doctest: +SKIP
        >>> from_torch(module, (2, 2, 3)).single(jnp.zeros((2, 2, 3))).shape  # doctest: +SKIP
        (3,)
    """
    shape = refuse_other("torch.nn", module, shape)
    from lipjax.networks.torch_calls import Frozen

    evaluation_flags("torch.nn", module.forward)
    options: dict[str, Any] = {"shape": shape, "prepare": prepare, "logits": logits, "batched": batched}
    network = checked(_Torch(Frozen(module), channels_first, **options), Variables({}, {}))
    classes = network.tried(Variables({}, {})).shape[-1]
    return Model(network.replace(classes=int(classes)), Variables({}, {}))
