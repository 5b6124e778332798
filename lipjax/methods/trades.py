"""TRADES: clean accuracy, and predictions that stay the same in the ball, as two terms with a weight between them."""

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from lipjax import attacks, checks
from lipjax.batching import over_examples
from lipjax.losses import kl_divergence
from lipjax.norms import Norm, linf
from lipjax.types import Batch, Box, KeyArray, Method, Model, Output, Point, Terms


def _near(key: KeyArray, shape: tuple[int, ...]) -> Point:
    # The divergence and its gradient are 0 at x itself: the attack has to start beside it.
    return 0.001 * jax.random.normal(key, shape)


def trades(
    beta: float = 6.0,
    *,
    norm: Norm = linf,
    radius: ArrayLike = 0.031,
    step_size: ArrayLike | None = 0.007,
    num_steps: int = 10,
    bounds: Box = (0.0, 1.0),
) -> Method:
    """TRADES: the cross-entropy at x and `beta KL(softmax f(x) || softmax f(x'))`, x' where the divergence is largest.

    x' is the last iterate of PGD on the divergence, started at `x + 0.001 N(0, I)`, with the network in evaluation
    mode; the term itself is computed in training mode. Its gradient flows through both arguments of the divergence,
    and not through x'.

    Args:
        beta: Weight of the divergence: 6 on CIFAR-10, 1 on MNIST.
        norm: Norm of the ball.
        radius: Radius of the ball, in pixels in [0, 1]; may be traced. 0.3 on MNIST.
        step_size: Length of a step; None for `2.5 * radius / num_steps`. 0.01 on MNIST.
        num_steps: Number of gradient steps; 40 on MNIST.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        A method with the penalty term `trades`, at least 0.

    Raises:
        ValueError: If beta, radius or step_size is negative, or num_steps is not a whole number of at least 1.

    References:
        Zhang et al. 2019, "Theoretically Principled Trade-off between Robustness and Accuracy" (arXiv 1901.08573);
        defaults and conventions are those of the CIFAR-10 training in their code. There the perturbed
        examples move the running statistics of batch normalisation too; here the clean ones alone do.

    Example:
        >>> method = trades(beta=1.0, radius=0.3, step_size=0.01, num_steps=40)  # MNIST
    """
    checks.not_negative(beta=beta)
    attack = attacks.pgd(
        norm.ball(radius, bounds), step_size=step_size, num_steps=num_steps, random_start=_near, best_iterate=False
    )

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        fixed = jax.lax.stop_gradient(model)

        def farthest(key: KeyArray, x: Point) -> Point:
            logits = fixed.single(x)
            return attack(key, lambda point: kl_divergence(logits, fixed.single(point)), x)

        moved, _ = model(over_examples(farthest)(key, batch.inputs), train=True)
        return {"trades": beta * jnp.mean(jax.vmap(kl_divergence)(output.logits, moved.logits))}

    return Method(penalize=penalize)
