"""The protocol of the talk's authors, to the letter."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from lipjax.estimators.curve import Curve, curve
from lipjax.estimators.draws import on_sphere
from lipjax.estimators.outputs import probabilities
from lipjax.estimators.slope import sampled_slope
from lipjax.norms import Norm, l2, linf
from lipjax.types import Box, Estimator, KeyArray, VectorFn

TALK_RADII = tuple(1.75 * j / 30 for j in range(1, 31))
"""30 radii up to 1.75: l2 norm of the whole image, pixels in [0, 1]."""

TALK_NUM_IMAGES = 1000
"""The first images of the training set, in its order."""

_DRAW = on_sphere(l2, linf.sample)


def talk_slope(
    radius: ArrayLike,
    *,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_samples: int = 100,
    bounds: Box = (0.0, 1.0),
) -> Estimator:
    """`sampled_slope` with the talk's law: entries uniform in [-1, 1], rescaled to l2 norm r, then clipped.

    Arguments, result and errors are those of `sampled_slope`.
    """
    norms = {"norm_in": norm_in, "norm_out": norm_out}
    return sampled_slope(radius, **norms, num_samples=num_samples, draw=_DRAW, bounds=bounds)


def talk_curve(
    key: KeyArray, logits: VectorFn, images: Float[Array | np.ndarray, "images ..."], *, chunk_size: int | None = None
) -> Curve:
    """alpha_lim(r) by random draws, exactly as the authors of the talk measure it.

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

    Example:
        >>> import jax
        >>> found = talk_curve(jax.random.key(0), lambda x: jnp.stack([x.sum(), 0.0]), jnp.full((3, 2, 2), 0.5))
        >>> found.values.shape
        (3, 30)
    """
    if chunk_size is None:
        chunk_size = 5 if jax.default_backend() == "cpu" else 64
    return curve(
        key,
        talk_slope,
        probabilities(logits),
        jnp.asarray(images[:TALK_NUM_IMAGES]),
        TALK_RADII,
        chunk_size=chunk_size,
    )
