"""Jacobian regularisation: a small Frobenius norm of the logits' input Jacobian, estimated by random projections."""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.batching import example_keys
from lipjax.types import Batch, KeyArray, Method, Model, Output, Scalar, Terms
from lipjax.values import Number, count, number

Inputs = Float[Array, "batch ..."]
Logits = Float[Array, "batch classes"]
Directions = Float[Array, "directions batch classes"]


def _basis(batch: int, classes: int) -> Directions:
    return jnp.broadcast_to(jnp.eye(classes)[:, None], (classes, batch, classes))


def _random(key: KeyArray, count: int, batch: int, classes: int) -> Directions:
    draws = jax.vmap(lambda key: jax.random.normal(key, (count, classes)), out_axes=1)(example_keys(key, batch))
    return math.sqrt(classes / count) * draws / jnp.linalg.norm(draws, axis=-1, keepdims=True)


def jacobian_penalty(
    key: KeyArray, f: Callable[[Inputs], Logits], inputs: Inputs, *, num_projections: int | None = 1
) -> Scalar:
    """Half the mean over a batch of the Jacobian's squared Frobenius norm, `1/2 mean_x ||J(x)||_F^2`.

    Estimated without bias by `C / n sum_i ||J(x)^T v_i||^2 = ||J(x)||_F^2`, for n directions `v_i` uniform on the unit
    sphere of the C logits.

    Args:
        key: A typed key; every example gets directions of its own.
        f: Logits of a batch.
        inputs: The batch.
        num_projections: Number n of random directions, one backward pass each; None takes the C unit vectors, and
            the result is exact.

    Returns:
        A number that is at least 0; its mean over keys is the exact value. Where one example's logits depend on the
        others' inputs (batch statistics), what is pulled back is the sum over the batch, as in the authors' code.

    References:
        Hoffman, Roberts and Yaida 2019, "Robust Learning with Jacobian Regularization" (arXiv 1908.02729).

    Examples:
        >>> f = lambda inputs: inputs @ jnp.array([[1.0, 2.0], [3.0, 4.0]])
        >>> jacobian_penalty(jax.random.key(0), f, jnp.zeros((5, 2)), num_projections=None)  # (1 + 4 + 9 + 16) / 2
        Array(15., dtype=float32)
    """
    logits, pull_back = jax.vjp(f, inputs)
    shape = logits.shape
    directions = _basis(*shape) if num_projections is None else _random(key, num_projections, *shape)
    squares = jax.vmap(lambda direction: jnp.sum(pull_back(direction)[0] ** 2))(directions)
    return jnp.sum(squares) / (2 * len(inputs))


class jacobian(Method):
    """Jacobian regularisation: the term `weight / 2 * mean_x ||J(x)||_F^2`, J the Jacobian of the logits.

    It is taken in training mode, of the function that the update moves. A soft promise, at the training points only:
    the Frobenius norm bounds the slope of the logits there.

    Attributes:
        weight: Weight of the term `jacobian`.
        num_projections: Random directions per example; None for the exact norm. See `jacobian_penalty`.

    References:
        Hoffman, Roberts and Yaida 2019 (arXiv 1908.02729); the defaults are theirs.

    Examples:
        >>> method = jacobian(weight=0.1, num_projections=3)
    """

    weight: Number = number(0.01, checks.not_negative)
    _: dataclasses.KW_ONLY
    num_projections: int | None = count(1)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""

        def logits(inputs: Inputs) -> Logits:
            return model(inputs, train=True)[0].logits

        inputs = jnp.asarray(batch.inputs)
        return {"jacobian": jacobian_penalty(key, logits, inputs, num_projections=self.num_projections) * self.weight}
