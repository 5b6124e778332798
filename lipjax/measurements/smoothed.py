"""What randomised smoothing certifies."""

from typing import TYPE_CHECKING, Any

from lipjax import certificates, checks
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.types import Dataset, KeyArray
from lipjax.values import Number, count, number, setting

if TYPE_CHECKING:
    import xarray


class smoothed(Measurement):
    """Class and certified l2 radius of the model's smoothed version at test examples; see `certificates.smoothed`.

    Attributes:
        sigma: Standard deviation of the noise (pixels in [0, 1]); train with `methods.gaussian` of the same.
        num_samples: Draws for each certificate.
        failure: Probability with which each certificate may be wrong.
        num_examples: How many test examples, the first ones.

    Returns:
        `smoothed_label [smoothed_example]`, -1 where it abstains; `smoothed_radius`, 0 there; `smoothed_correct`.

    Examples:
        >>> smoothed(0.25, num_samples=100)
        smoothed(num_samples=100)
    """

    sigma: Number = number(0.25, checks.positive, unit="pixels in [0, 1]")
    num_samples: int = count(1000)
    failure: float = setting(0.001, checks.probability)
    num_examples: int = count(200)

    splits = ("test",)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore) -> "xarray.Dataset":
        import xarray

        inputs, labels = (part[: self.num_examples] for part in dataset.test)
        smoothing = certificates.smoothed(self.sigma, num_samples=self.num_samples, failure=self.failure)
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            advance((count - done) * self.num_samples)
            done = count

        found = smoothing.certify(key, model, inputs, progress)
        answers = {"label": found.labels, "radius": found.radii, "correct": found.labels == labels}
        return xarray.Dataset({f"smoothed_{name}": ("smoothed_example", part) for name, part in answers.items()})

    def cost(self, dataset: Dataset) -> float:
        return float(self.num_samples * min(self.num_examples, len(dataset.test.labels)))
