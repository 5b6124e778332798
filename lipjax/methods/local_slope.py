"""Local slope training: the talk's definition of robustness as a penalty, steepness around training points."""

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax import checks
from lipjax.batching import over_examples
from lipjax.estimators.quotient import difference_quotient
from lipjax.estimators.slope import ascent_slope
from lipjax.norms import Norm, l2
from lipjax.types import Batch, Box, KeyArray, Method, Model, Output, Point, Scalar, Terms


def local_slope(
    weight: float = 1.0,
    *,
    alpha: float = 1.0,
    radius: ArrayLike = 0.5,
    norm_in: Norm = l2,
    norm_out: Norm = l2,
    num_steps: int = 5,
    bounds: Box = (0.0, 1.0),
) -> Method:
    """Penalises a local slope of the logits above alpha: `weight * mean_x max(0, slope_r(x) - alpha)^2`.

    `slope_r(x) = sup_{0 < ||e|| <= r} ||f(x + e) - f(x)|| / ||e||`, found by ascent on the quotient. The gradient is
    that of the quotient at the point found, which is held fixed (Danskin's theorem), in evaluation mode.

    Args:
        weight: Weight of the term.
        alpha: Slope that is free of charge.
        radius: Radius of the balls around training points, in input units (pixels in [0, 1]).
        norm_in: Norm of the ball and of input differences.
        norm_out: Norm of output differences.
        num_steps: Gradient steps of the ascent.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        A method with the penalty term `local_slope`, which is 0 where no steeper quotient is found. A soft promise,
        around the training points only: what the talk asks for, where a global constraint is incompatible with data.

    Raises:
        ValueError: If weight or alpha is negative, radius is not positive, or num_steps is not a whole number from 1.

    References:
        Our own. The definition is that of Lassance et al. 2019, "Structural robustness for deep learning
        architectures" (arXiv 1909.05095), slide 12 of the talk.

    Example:
        >>> method = local_slope(0.1, alpha=1.0, radius=0.5)
    """
    checks.not_negative(weight=weight, alpha=alpha)
    search = ascent_slope(
        radius,
        norm_in=norm_in,
        norm_out=norm_out,
        num_samples=1,
        num_steps=num_steps,
        num_restarts=1,
        bounds=bounds,
    )

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        fixed = jax.lax.stop_gradient(model)

        def excess(example_key: KeyArray, x: Point) -> Scalar:
            witness = search(example_key, fixed.single, x).witness
            slope = difference_quotient(model.single, x, norm_in=norm_in, norm_out=norm_out)(witness)
            return jnp.maximum(slope - alpha, 0.0) ** 2

        return {"local_slope": weight * jnp.mean(over_examples(excess)(key, batch.inputs))}

    return Method(penalize=penalize)
