"""What Lipschitz bounds certify."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lipjax import bounds, certificates, checks
from lipjax.measurements.alpha import legal
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.norms import l2
from lipjax.types import Batch, Dataset, KeyArray
from lipjax.values import count, setting

if TYPE_CHECKING:
    import xarray


_COST = 1000.0
"""Of a local bound, about, in gradients of one image."""


def _not_negative(**radii: tuple[float, ...]) -> None:
    checks.not_negative(**{name: np.asarray(given, float) for name, given in radii.items()})


class certified(Measurement):
    """The l2 radius around each test example within which a bound forbids another prediction.

    Attributes:
        radii: Radii at which local bounds are asked too, in pixels in [0, 1]; none of them by default, as a local bound
            takes seconds for an example.
        method: How local bounds are found: see `bounds.local_bound`.
        num_local: How many test examples, the first ones, get local bounds; None for all.

    Returns:
        `certified_radius [example]`, -1 where the prediction is wrong: what the global bound certifies, or the largest
        of the radii that a local one does (`certificates.certified_radii`, `locally_certified_radii`); and `gap_bound`,
        how fast the gap between two logits can change at most.

    Examples:
        >>> certified()
        certified()
        >>> certified(radii=(36 / 255,), num_local=100)
        certified(radii=(0.141176,), num_local=100)
    """

    radii: tuple[float, ...] = setting((), _not_negative, unit="pixels in [0, 1]")
    method: str = setting("linear", legal(*bounds.METHODS))
    num_local: int | None = count(None)

    splits = ("test",)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore) -> "xarray.Dataset":
        import xarray

        before = 0

        def tell(done: int) -> None:
            nonlocal before
            advance(_COST * len(self.radii) * (done - before))
            before = done

        bound = bounds.gap_bound(model, dataset.input_shape)
        found = certificates.certified_radii(model, dataset.test, bound)
        if self.radii:
            first = Batch(*(part[: self.num_local] for part in dataset.test))
            ball = l2.ball(math.inf, dataset.box)
            local = certificates.locally_certified_radii(
                model, first, self.radii, ball=ball, method=self.method, progress=tell
            )
            found = found.astype(local.dtype)  # radii as they were asked for: in float32 some are less
            found[: len(local)] = np.maximum(found[: len(local)], local)
        return xarray.Dataset({"certified_radius": ("example", found), "gap_bound": bound})

    def cost(self, dataset: Dataset) -> float:
        return super().cost(dataset) + _COST * len(self.radii) * len(dataset.test.labels[: self.num_local])
