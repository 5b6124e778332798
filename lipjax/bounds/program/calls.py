"""Functions of JAX that are one step: calls whose program is, to the last operation, the one that JAX writes."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

CALLS: dict[str, dict[str, Callable[..., Any]]] = {
    "hard_silu": {"hard_silu": jax.nn.hard_silu},
    "hard_tanh": {"hard_tanh": jax.nn.hard_tanh},
    "mish": {"mish": jax.nn.mish},
    "silu": {"silu": jax.nn.silu},
    "soft_sign": {"soft_sign": jax.nn.soft_sign},
    "softplus": {"softplus": jax.nn.softplus},
    "sparse_plus": {"sparse_plus": jax.nn.sparse_plus},
}
"""By the name of the call: the operations that it may be."""


@cache
def _written(function: Callable[..., Any], shape: tuple[int, ...], dtype: Any) -> str:
    """The program of a call of this function."""
    (call,) = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(shape, dtype)).eqns
    return str(call.params["jaxpr"].jaxpr)


def operation_of(name: str, jaxpr: Any) -> str | None:
    """The operation that a call is, if it is a known one."""
    if name not in CALLS or len(jaxpr.invars) != 1:
        return None
    given = jaxpr.invars[0].aval
    found = (op for op, function in CALLS[name].items() if _written(function, given.shape, given.dtype) == str(jaxpr))
    return next(found, None)
