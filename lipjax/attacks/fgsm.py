"""The fast gradient sign method: one step as long as the radius."""

from lipjax.attacks.pgd import pgd
from lipjax.norms import Ball, linf
from lipjax.types import Attack, KeyArray, Objective, Point


class fgsm(Attack):
    """Fast gradient sign method, in any norm: `x + radius * argmax_{||d|| <= 1} <gradient, d>`, moved into the box.

    It does not use its key. The point is in the ball and in the box; at radius 0 it is the center, bit for bit.

    Attributes:
        ball: Where points may go; linf gives the sign of the gradient, l2 the normalised gradient, l1 its largest
            entry.

    References:
        Goodfellow et al. 2015, "Explaining and harnessing adversarial examples" (arXiv 1412.6572), section 4.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> attack = fgsm(linf.ball(0.1))
        >>> attack(jax.random.key(0), lambda x: x[0] - x[1], jnp.array([0.5, 0.5]))
        Array([0.6, 0.4], dtype=float32)
    """

    ball: Ball = linf.ball(8 / 255)

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        step = pgd(self.ball, step_size=self.ball.radius, num_steps=1, random_start=False, best_iterate=False)
        return step(key, objective, center)
