"""The Jacobian's operator norm at a point: the limit of every slope for small radii."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from lipjax import loops
from lipjax.estimators.estimator import largest
from lipjax.estimators.precision import in_full
from lipjax.estimators.quotient import safe_ratio
from lipjax.norms import Norm, l2, named
from lipjax.types import Estimate, Estimator, KeyArray, Point, Scalar, VectorFn
from lipjax.values import count, setting

_FEW_OUTPUTS = 32
"""Up to this many outputs, the search also starts once from the gradient of each."""


class jacobian_norm(Estimator):
    """Operator norm of the Jacobian J at a point, `max ||J d||_out over ||d||_in <= 1`, by the power method.

    `d <- argmax_{||d||_in <= 1} <d, J^T u>` with u the gradient of `||.||_out` at `J d`: for every pair of norms this
    never lowers `||J d||`, and from l2 to l2 it is the power iteration. J is never built: a step is one product with J
    and one with its transpose.

    The value is a lower bound of the norm; the witness is no point near x but the direction d, of length 1, with
    `||J d||_out = value`. Where norm_out is linf and f has up to 32 outputs the value is exact. From l2 to l2 it
    converges to the norm; for other pairs it is a local maximum, the best of all starts (finding the norm from linf to
    l1, for one, is NP-hard).

    Attributes:
        norm_in: Norm of inputs.
        norm_out: Norm of outputs.
        num_steps: Steps from each start.
        num_restarts: Random starts; functions of up to 32 outputs are also started from the gradient of each output.

    References:
        Boyd 1974, "The power method for lp norms" (Linear Algebra and its Applications 9), for the general iteration.

    Examples:
        >>> matrix = jnp.array([[3.0, 0.0], [0.0, 1.0]])
        >>> jacobian_norm()(jax.random.key(0), lambda x: matrix @ x, jnp.ones(2)).value
        Array(3., dtype=float32)
    """

    norm_in: Norm = setting(l2, words=named)
    norm_out: Norm = setting(l2, words=named)
    _: dataclasses.KW_ONLY
    num_steps: int = count(20)
    num_restarts: int = count(4)

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        f, x = in_full(f, x)
        value, push = jax.linearize(f, x)
        pull = jax.linear_transpose(push, x)
        num_rows = value.size if value.size <= _FEW_OUTPUTS else 0

        def length(direction: Point) -> Scalar:
            return self.norm_out.value(push(direction))

        def step(direction: Point, _: None) -> tuple[Point, None]:
            return self.norm_in.steepest(jax.grad(length)(direction)), None

        def run(index: Int[Array, ""]) -> Estimate:
            row = jax.nn.one_hot(index, value.size, dtype=value.dtype)
            noise = jax.random.normal(jax.random.fold_in(key, index), (value.size,), value.dtype)
            (gradient,) = pull(jnp.where(index < num_rows, row, noise).reshape(value.shape))
            direction, _ = loops.scan(step, self.norm_in.steepest(gradient), length=self.num_steps)
            return Estimate(safe_ratio(length(direction), self.norm_in.value(direction)), direction)

        return largest(loops.map(run, jnp.arange(num_rows + self.num_restarts)))
