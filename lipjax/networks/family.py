"""What all families have in common: they are built from layers, and take pixels."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from lipjax import checks
from lipjax.layers import Channels, Layers, named, vanilla
from lipjax.networks.linen import LinenNetwork, applied_arrays
from lipjax.types import Model, Variables
from lipjax.values import count, setting


def are_sizes(**named: Any) -> None:
    """Raises ValueError unless all numbers in tuples, or tuples of tuples, are whole and at least 1."""
    for name, sizes in named.items():
        for size in sizes:
            if isinstance(size, tuple):
                are_sizes(**{name: size})
            else:
                checks.at_least(1, **{f"each of {name}": size})


def _finite(**named: Channels) -> None:
    checks.finite(**{name: np.asarray(statistic) for name, statistic in named.items()})


def _positive(**named: Channels) -> None:
    checks.positive(**{name: np.asarray(statistic) for name, statistic in named.items()})


def _is_dtype(**named: str) -> None:
    for name, word in named.items():
        checks.one_of(name, word, ("float32", "bfloat16", "float16"))


class Family(LinenNetwork):
    """Base of the families.

    Attributes:
        num_classes: Number of classes.
        layers: Which layers it is built from: `vanilla`, `parseval`, `nonexpansive`, ...
        mean: Mean of the pixels, in pixels in [0, 1]: one number, or one per channel.
        std: Standard deviation of the pixels, likewise.
        dtype: Type of the computation; parameters, batch statistics and logits are float32.

    Raises:
        ValueError: If a size is not a whole number of at least 1, or std is not positive.
    """

    num_classes: int = count()
    _: dataclasses.KW_ONLY
    layers: Layers = setting(vanilla, words=named)
    mean: Channels = setting(0.0, _finite)
    std: Channels = setting(1.0, _positive)
    dtype: str = setting("float32", _is_dtype)

    @property
    def shared(self) -> dict[str, Any]:
        """What every module of a family takes."""
        dtype = jnp.dtype(self.dtype)
        return {
            "num_classes": self.num_classes,
            "layers": self.layers,
            "mean": self.mean,
            "std": self.std,
            "dtype": dtype,
        }

    def freeze(self, variables: Variables, input_shape: tuple[int, ...]) -> Model:
        """The trained network with plain kernels, for inputs of a shape."""
        params = applied_arrays(self, variables, input_shape)
        return Model(self.replace(layers=self.layers.freeze()), Variables(params, variables.state))
