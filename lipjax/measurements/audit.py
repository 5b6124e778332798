"""The Lipschitz constant of every layer."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lipjax import bounds
from lipjax.measurements.measurement import Measurement
from lipjax.norms import Norm, l2, named
from lipjax.types import Dataset, KeyArray
from lipjax.values import setting

if TYPE_CHECKING:
    import xarray


class audit(Measurement):
    """Which layer breaks a Lipschitz promise: the constant of every layer, and a bound of the whole network.

    Attributes:
        norm: Norm of inputs and outputs of every layer.

    Returns:
        By layer `layer_name`, `layer_operation`, `layer_constant`, `layer_side` (exact, upper, unknown) and
        `layer_how`, how it was obtained; and `network_bound`. See `bounds.audit`.

    Example:
        >>> audit(norm=l2)
        audit()
    """

    norm: Norm = setting(l2, words=named)

    splits = ()

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        import xarray

        layers = bounds.audit(model, dataset.input_shape, norm=self.norm)
        answers = {
            f"layer_{name}": ("layer", [getattr(layer, name) for layer in layers.layers])
            for name in ("name", "operation", "constant", "side", "how")
        }
        return xarray.Dataset(answers | {"network_bound": layers.bound}, {"layer": np.arange(len(layers.layers))})
