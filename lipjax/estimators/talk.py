"""The protocol of the talk's authors, to the letter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax.estimators.curve import Curve, curve
from lipjax.estimators.draws import on_sphere
from lipjax.estimators.estimator import LocalEstimator
from lipjax.estimators.outputs import probabilities
from lipjax.estimators.slope import sampled_slope
from lipjax.norms import Norm, l2, linf, named
from lipjax.types import Estimate, KeyArray, Point, VectorFn
from lipjax.values import count, setting

TALK_RADII = tuple(1.75 * j / 30 for j in range(1, 31))
"""30 radii up to 1.75: l2 norm of the whole image, pixels in [0, 1]."""

TALK_NUM_IMAGES = 1000
"""The first images of the training set, in its order."""


class talk_slope(LocalEstimator):
    """`sampled_slope` with the talk's law: entries uniform in [-1, 1], rescaled to length r, then clipped.

    Less what rounding may have added, see `sampled_slope`: a few millionths, but for functions with large values.

    Attributes:
        ball: Where perturbed points are, and the norm of perturbations; the talk's is l2.
        norm_out: Norm of output differences.
        num_samples: Number of perturbations.

    Examples:
        >>> estimator = talk_slope(l2.ball(0.5, box=None))
        >>> estimator(jax.random.key(0), lambda x: 3.0 * x, jnp.zeros(4)).value
        Array(3., dtype=float32)
    """

    _: dataclasses.KW_ONLY
    norm_out: Norm = setting(l2, words=named)
    num_samples: int = count(100)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        draw = on_sphere(self.ball.norm, linf)
        return sampled_slope(self.ball, norm_out=self.norm_out, num_samples=self.num_samples, draw=draw)(key, f, x)


def talk_curve(
    key: KeyArray, logits: VectorFn, images: Float[Array | np.ndarray, "images ..."], *, chunk_size: int | None = None
) -> Curve:
    """alpha_lim(r) by random draws, as the authors of the talk measure it, less what rounding may have added.

    Of the first 1,000 images, at 30 radii `1.75 j / 30`: 100 draws per radius and image, entries uniform in [-1, 1],
    rescaled to l2 norm r, added and clipped to [0, 1]; the l2 norm of the difference of softmax probabilities divided
    by the l2 norm of the clipped perturbation. The maximum over images and draws is `curve.maximum`, carried forward
    from smaller radii; `curve.values` has it per image.

    Args:
        key: A typed key.
        logits: The classifier, one image to its logits.
        images: Training images in their order, pixels in [0, 1]; the first 1,000 are used.
        chunk_size: Images that are computed at once, 25 draws of each. By default 5 on CPU, since its caches hold about
            a hundred inputs, and 64 elsewhere.

    Returns:
        The curve. A random search in thousands of dimensions stays far below the slope: `slope_curve` finds more.

    References:
        The r_alpha test of github.com/cadurosar/laplacian_networks (cifar_10/r_alpha.py), the code of Lassance, Gripon
        and Ortega 2021, "Laplacian networks" (arXiv 1805.10133).

    Examples:
        >>> found = talk_curve(jax.random.key(0), lambda x: jnp.stack([x.sum(), 0.0]), jnp.full((3, 2, 2), 0.5))
        >>> found.values.shape
        (3, 30)
    """
    if chunk_size is None:
        chunk_size = 5 if jax.default_backend() == "cpu" else 64
    images = jnp.asarray(images[:TALK_NUM_IMAGES])
    return curve(key, talk_slope(), probabilities(logits), images, TALK_RADII, chunk_size=chunk_size)
