"""Local slope training: the talk's definition of robustness as a penalty, steepness around training points."""

import dataclasses

import jax
import jax.numpy as jnp

from lipjax import checks
from lipjax.batching import over_examples
from lipjax.estimators.quotient import difference_quotient
from lipjax.estimators.slope import ascent_slope
from lipjax.norms import Ball, Norm, l2, named
from lipjax.types import Batch, KeyArray, Method, Model, Output, Point, Scalar, Terms
from lipjax.values import Number, count, number, setting


class local_slope(Method):
    """Penalises a local slope of the logits above alpha: `weight * mean_x max(0, slope_r(x) - alpha)^2`.

    `slope_r(x) = sup_{0 < ||e|| <= r} ||f(x + e) - f(x)|| / ||e||`, found by ascent on the quotient. The gradient is
    that of the quotient at the point found, which is held fixed (Danskin's theorem), in evaluation mode. A soft
    promise, around the training points only: what the talk asks for, where a global constraint is incompatible with
    data.

    Attributes:
        ball: Where inputs may go, and in which norm their differences are measured.
        weight: Weight of the term `local_slope`, which is 0 where no steeper quotient is found.
        alpha: Slope that is free of charge.
        norm_out: Norm of output differences.
        num_steps: Gradient steps of the ascent.

    Raises:
        ValueError: If weight or alpha is negative, the radius is not positive, or num_steps is not a whole number from
            1.

    References:
        Our own. The definition is that of Lassance et al. 2019, "Structural robustness for deep learning
        architectures" (arXiv 1909.05095), slide 12 of the talk.

    Examples:
        >>> method = local_slope(l2.ball(0.5), weight=0.1, alpha=1.0)
    """

    ball: Ball = setting(l2.ball(0.5))
    _: dataclasses.KW_ONLY
    weight: Number = number(1.0, checks.not_negative)
    alpha: Number = number(1.0, checks.not_negative)
    norm_out: Norm = setting(l2, words=named)
    num_steps: int = count(5)

    def check(self) -> None:
        checks.positive(radius=self.ball.radius)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""
        counts = {"num_samples": 1, "num_steps": self.num_steps, "num_restarts": 1}
        search = ascent_slope(self.ball, norm_out=self.norm_out, **counts)
        fixed = jax.lax.stop_gradient(model)

        def excess(example_key: KeyArray, x: Point) -> Scalar:
            witness = search(example_key, fixed.single, x).witness
            quotient = difference_quotient(model.single, x, norm_in=self.ball.norm, norm_out=self.norm_out)
            return jnp.maximum(quotient(witness) - self.alpha, 0.0) ** 2

        return {"local_slope": jnp.mean(over_examples(excess)(key, batch.inputs)) * self.weight}
