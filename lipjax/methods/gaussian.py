"""Gaussian augmentation: training on noisy inputs, the partner of randomised smoothing."""

import jax
from jaxtyping import ArrayLike

from lipjax import checks
from lipjax.batching import over_examples
from lipjax.types import Batch, KeyArray, Method, Model, Point


def gaussian(sigma: ArrayLike = 0.25) -> Method:
    """Gaussian augmentation: every input becomes `x + sigma N(0, I)`, a new draw at every step.

    A classifier trained so is the base of the smoothed classifier that `smoothing.certify` certifies with the same
    sigma.

    Args:
        sigma: Standard deviation of the noise, in pixels in [0, 1]; may be traced. The paper's values on CIFAR-10 are
            0.12, 0.25, 0.5 and 1.

    Returns:
        A method whose `perturb` hook adds noise; as in the paper, the result is not clipped to legal values.

    Raises:
        ValueError: If sigma is negative.

    References:
        Cohen, Rosenfeld and Kolter 2019, "Certified Adversarial Robustness via Randomized Smoothing"
        (arXiv 1902.02918), section 3.3.

    Example:
        >>> method = gaussian(sigma=0.5)
    """
    checks.not_negative(sigma=sigma)

    def noisy(key: KeyArray, x: Point) -> Point:
        return x + sigma * jax.random.normal(key, x.shape, x.dtype)

    def perturb(key: KeyArray, model: Model, batch: Batch) -> Batch:
        return batch._replace(inputs=over_examples(noisy)(key, batch.inputs))

    return Method(perturb=perturb)
