"""The difference quotient, the one objective that every slope estimator climbs."""

import jax.numpy as jnp

from lipjax.estimators.precision import epsilon
from lipjax.norms import Norm
from lipjax.types import Objective, Point, Scalar, VectorFn


def safe_ratio(numerator: Scalar, denominator: Scalar) -> Scalar:
    """Numerator / denominator, and 0 with derivative 0 where the denominator is 0."""
    is_zero = denominator == 0.0
    return jnp.where(is_zero, 0.0, numerator / jnp.where(is_zero, 1.0, denominator))


def difference_quotient(f: VectorFn, x: Point, *, norm_in: Norm, norm_out: Norm) -> Objective:
    """The objective `u -> ||f(u) - f(x)||_out / ||u - x||_in`, anchored at x.

    The denominator is the length of `u - x` as floating-point numbers have it, that is of the step that was really
    taken, also where rounding `x + e` changed e. What remains is the cancellation in `f(u) - f(x)`: about
    `eps * ||f(x)|| / ||u - x||`, with eps = 1.2e-7 in float32, is added to or taken from the quotient by rounding.

    Args:
        f: The function, one input to one array of any shape.
        x: The anchor.
        norm_in: Norm of input differences.
        norm_out: Norm of output differences.

    Returns:
        A scalar function of one input; at `u = x` it is 0 with derivative 0.

    Examples:
        >>> from lipjax.norms import l2
        >>> quotient = difference_quotient(lambda x: x**2, jnp.array([1.0]), norm_in=l2, norm_out=l2)
        >>> quotient(jnp.array([1.5]))
        Array(2.5, dtype=float32)
    """
    anchored = f(x)

    def quotient(point: Point) -> Scalar:
        return safe_ratio(norm_out.value(f(point) - anchored), norm_in.value(point - x))

    return quotient


def rounding_error(f: VectorFn, x: Point, norm_out: Norm) -> Scalar:
    """What rounding may make of the difference of two outputs near x, with eps the `epsilon` of f.

    `4 eps ||f(x)||` for the outputs' last digits, and what f makes of a change in the last digits of x for those of
    what is computed on the way.
    """
    eps = epsilon(f, x)
    value = f(x)
    return norm_out.value(f(x * (1.0 + 4.0 * eps)) - value) + 4.0 * eps * norm_out.value(value)


def sure_quotient(f: VectorFn, x: Point, *, norm_in: Norm, norm_out: Norm) -> Objective:
    """`difference_quotient` less what rounding may have added, `(||f(u) - f(x)|| - error)+ / ||u - x||`.

    Very close to x, differences of outputs are rounding errors, and the largest plain quotient would be found there. A
    search climbs this one: it stays below the slope, and is 0 where nothing but rounding is seen.

    Args:
        f: The function, one input to one array of any shape.
        x: The anchor.
        norm_in: Norm of input differences.
        norm_out: Norm of output differences.

    Returns:
        A scalar function of one input; at `u = x` it is 0 with derivative 0.
    """
    anchored = f(x)
    error = rounding_error(f, x, norm_out)
    share = 1.0 - 4.0 * (epsilon(f, x) - float(jnp.finfo(x.dtype).eps))  # 1 where f computes in the type of x

    def quotient(point: Point) -> Scalar:
        difference = share * norm_out.value(f(point) - anchored)
        return safe_ratio(jnp.maximum(difference - error, 0.0), norm_in.value(point - x))

    return quotient
