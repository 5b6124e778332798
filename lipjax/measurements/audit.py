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
        By layer `layer_name`, `layer_operation`, `layer_constant`, `layer_side` (exact, upper, unknown), `layer_how`
        (how it was obtained) and `layer_shape`, such as "14x14x16"; and `network_bound`. See `bounds.audit`.

    Examples:
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
        answers["layer_shape"] = ("layer", ["x".join(map(str, layer.shape)) for layer in layers.layers])
        return xarray.Dataset(answers | {"network_bound": layers.bound}, {"layer": np.arange(len(layers.layers))})


def audit_of(answers: "xarray.Dataset", norm: Norm, tolerance: float) -> bounds.Audit:
    """The answers of one model as the table that `bounds.audit` makes.

    Args:
        answers: What the measurement said of this model.
        norm: The norm that it was made in.
        tolerance: How far above 1 a layer is taken for rounding.

    Examples:
        >>> import xarray
        >>> answers = {
        ...     "layer_name": ("layer", ["wide", "logits"]),
        ...     "layer_operation": ("layer", ["dense", "dense"]),
        ...     "layer_constant": ("layer", [2.0, 0.5]),
        ...     "layer_side": ("layer", ["exact", "exact"]),
        ...     "layer_how": ("layer", ["SVD", "SVD"]),
        ...     "layer_shape": ("layer", ["100", "10"]),
        ...     "network_bound": 1.0,
        ... }
        >>> print(audit_of(xarray.Dataset(answers), l2, tolerance=1e-3))
        layer   operation  l2 constant  side   how  output
        wide    dense      2            exact  SVD  (100,)
        logits  dense      0.5          exact  SVD  (10,)
        network: at most 1
        above 1: wide (dense)
        unknown: none
    """
    columns = [answers[f"layer_{name}"].values.tolist() for name in bounds.Layer._fields]
    layers = [
        bounds.Layer(*row)._replace(shape=tuple(map(int, row[-1].split("x"))) if row[-1] else ())
        for row in zip(*columns, strict=True)
    ]
    return bounds.Audit(tuple(layers), float(answers["network_bound"]), norm, tolerance)
