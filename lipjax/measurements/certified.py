"""What a global Lipschitz bound certifies."""

from typing import TYPE_CHECKING, Any

from lipjax import bounds, certificates
from lipjax.measurements.measurement import Measurement
from lipjax.types import Dataset, KeyArray

if TYPE_CHECKING:
    import xarray


class certified(Measurement):
    """The l2 radius around each test example within which the global bound forbids another prediction.

    Returns:
        `certified_radius [example]`, -1 where the prediction is wrong; and `gap_bound`, how fast the gap between two
        logits can change at most. See `certificates.certified_radii`.

    Examples:
        >>> certified()
        certified()
    """

    splits = ("test",)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        import xarray

        bound = bounds.gap_bound(model, dataset.input_shape)
        radii = certificates.certified_radii(model, dataset.test, bound)
        return xarray.Dataset({"certified_radius": ("example", radii), "gap_bound": bound})
