"""The fast gradient sign method: one step as long as the radius."""

from jaxtyping import ArrayLike

from lipjax.attacks.pgd import pgd
from lipjax.norms import Norm, linf
from lipjax.types import Attack, Box


def fgsm(norm: Norm = linf, radius: ArrayLike = 8 / 255, *, bounds: Box = (0.0, 1.0)) -> Attack:
    """Fast gradient sign method, in any norm: `x + radius * argmax_{||d|| <= 1} <gradient, d>`, moved into the box.

    Args:
        norm: Norm of the ball; linf gives the sign of the gradient, l2 the normalised gradient, l1 its largest entry.
        radius: Radius of the ball in input units (pixels in [0, 1]); may be traced.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        An attack `(key, objective, center) -> point` that does not use its key. The point is in the ball and in the
        box; at radius 0 it is the center, bit for bit.

    Raises:
        ValueError: If radius is negative.

    References:
        Goodfellow et al. 2015, "Explaining and harnessing adversarial examples" (arXiv 1412.6572), section 4.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> attack = fgsm(linf, radius=0.1)
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """
    return pgd(norm, radius, step_size=radius, num_steps=1, random_start=False, best_iterate=False, bounds=bounds)
