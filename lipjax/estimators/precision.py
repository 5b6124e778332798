"""Functions that compute in a narrow type, as the functions that they stand for.

A network in bfloat16 rounds to 8 bits: in small balls its quotients measure that rounding, and no constant is theirs.
What estimators and bounds speak of is the function in exact arithmetic, with the weights as the network uses them, that
is rounded to its type. So what depends on the input is computed in float32, whatever the function asks for.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params, subjaxprs

from lipjax.types import Point, VectorFn

_LOOPS = ("while", "cond")


def epsilon(f: VectorFn, x: Point) -> float:
    """Of the coarsest floating type in which f computes: 1.2e-7 in float32, 0.0078 if a layer is in bfloat16.

    Examples:
        >>> epsilon(lambda x: 2 * x.astype(jnp.bfloat16).astype(x.dtype), jnp.zeros(2))
        0.0078125
    """
    return _coarsest(jax.make_jaxpr(f)(x).jaxpr)


def in_full(f: VectorFn, x: Point) -> tuple[VectorFn, Point]:
    """A function and a point, both at least in float32: what depends on x is never rounded to a narrower type.

    A function that computes in float32 anyway is returned as it is, and so is one with a narrow type within a `while`,
    a `cond` or a `scan` too long for `bounds.program` to unroll: of that, `quotient.rounding_error` accounts for what
    it rounds.

    Examples:
        >>> f, x = in_full(lambda x: x.astype(jnp.bfloat16) * 3, jnp.array(1.001))
        >>> f(x)
        Array(3.003, dtype=float32)
    """
    from lipjax.bounds.program import trace  # bounds use estimators too

    x = jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))
    jaxpr = jax.make_jaxpr(f)(x).jaxpr
    if not _is_narrow(jaxpr) or _is_narrow_in_loop(jaxpr):
        return f, x
    return trace(f, x.shape).run, x


def _stays(equation: Any) -> bool:
    """Whether an equation is a loop or a choice that `trace` takes for one step."""
    from lipjax.bounds.program import LONGEST_LOOP

    name, params = equation.primitive.name, equation.params
    return name in _LOOPS or (name == "scan" and params["length"] > LONGEST_LOOP)


def _coarsest(jaxpr: Any) -> float:
    variables = [*jaxpr.invars, *(variable for equation in jaxpr.eqns for variable in equation.outvars)]
    dtypes = {variable.aval.dtype for variable in variables if hasattr(variable.aval, "dtype")}
    own = [float(jnp.finfo(dtype).eps) for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating)]
    return max([*own, *map(_coarsest, subjaxprs(jaxpr))], default=0.0)


def _is_narrow(jaxpr: Any) -> bool:
    return _coarsest(jaxpr) > float(jnp.finfo(jnp.float32).eps)


def _is_narrow_in_loop(jaxpr: Any) -> bool:
    loops = [equation for equation in jaxpr.eqns if _stays(equation)]
    inside = [body for equation in loops for body in jaxprs_in_params(equation.params)]
    return any(map(_is_narrow, inside)) or any(map(_is_narrow_in_loop, subjaxprs(jaxpr)))
