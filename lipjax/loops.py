"""JAX's loops, in which a convolution is as fast as outside them.

On CPU, XLA computes a convolution by a fast kernel only if its axes are in one order: examples, space and channels;
space, channels and features; examples, space and features. It brings convolutions into that order by itself, but in a
program's entry alone, not in the bodies of its loops. There the gradients of a convolution, whose axes are in other
orders, are 4 to 150 times slower. So these loops are JAX's own, whose bodies have their convolutions in XLA's order:
the same numbers by the same kernels. Strided ones of few channels, the first layers of many networks, are slow in any
order and become products of matrices. A body without such a convolution is left as it is, and so is all that is not
traced for a CPU. `LIPJAX_XLA_CONVOLUTIONS=1` leaves everything as it is.
"""

import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun, subjaxprs
from jaxtyping import PyTree

from lipjax import convolutions

Settings = ParamSpec("Settings")
Out = TypeVar("Out")


def for_loops(f: Callable[Settings, Out]) -> Callable[Settings, Out]:
    """The same function for use inside a loop: with its convolutions, and those of its own loops, in XLA's order.

    Custom derivative rules, `jit`, `remat` and named scopes stay. What is differentiated inside `f` is in order too;
    so wrap a whole step, with its gradients, and not only the network.

    Args:
        f: Any function that returns arrays.

    Returns:
        A function with the same arguments and results.

    Examples:
        >>> def gradient(x, kernel):
        ...     return jax.grad(lambda x: jax.lax.conv(x, kernel, (1,), "SAME").sum())(x)
        >>> x, kernel = jax.numpy.ones((1, 1, 3)), jax.numpy.arange(3.0).reshape(1, 1, 3)
        >>> for_loops(gradient)(x, kernel)
        Array([[[1., 3., 3.]]], dtype=float32)
    """

    @functools.wraps(f)
    def in_order(*args: Settings.args, **kwargs: Settings.kwargs) -> Out:
        if not _is_due():
            return f(*args, **kwargs)
        closed, results = jax.make_jaxpr(lambda: f(*args, **kwargs), return_shape=True)()
        values = jaxpr_as_fun(_in_order(closed))()
        return jax.tree.unflatten(jax.tree.structure(results), values)

    return in_order


def scan(f: Callable[..., Any], init: PyTree, xs: PyTree = None, length: int | None = None, **options: Any) -> Any:
    """`jax.lax.scan`.

    Examples:
        >>> scan(lambda total, x: (total + x, total), jax.numpy.zeros(()), jax.numpy.arange(4.0))
        (Array(6., dtype=float32), Array([0., 0., 1., 3.], dtype=float32))
    """
    return for_loops(jax.lax.scan)(f, init, xs, length, **options)


def while_loop(condition: Callable[[Any], Any], body: Callable[[Any], Any], init: PyTree) -> Any:
    """`jax.lax.while_loop`.

    Examples:
        >>> while_loop(lambda n: n < 50, lambda n: 2 * n, 1)
        Array(64, dtype=int32, weak_type=True)
    """
    return for_loops(jax.lax.while_loop)(condition, body, init)


def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Any], Any], init: PyTree) -> Any:
    """`jax.lax.fori_loop`.

    Examples:
        >>> fori_loop(0, 4, lambda index, total: total + index, 0)
        Array(6, dtype=int32, weak_type=True)
    """
    return for_loops(jax.lax.fori_loop)(lower, upper, body, init)


def map(f: Callable[..., Any], xs: PyTree, **options: Any) -> Any:
    """`jax.lax.map`.

    Examples:
        >>> map(lambda x: x**2, jax.numpy.arange(4))
        Array([0, 1, 4, 9], dtype=int32)
    """
    return for_loops(jax.lax.map)(f, xs, **options)


def _is_due() -> bool:
    config: Any = jax.config  # its attributes are made at run time
    is_wanted = os.environ.get("LIPJAX_XLA_CONVOLUTIONS", "0") in ("", "0")
    return is_wanted and jax.default_backend() == "cpu" and not config.jax_disable_jit


def _in_order(part: Any) -> Any:
    """A program, or a parameter of an equation, with all convolutions in order; itself, if they are."""
    if isinstance(part, ClosedJaxpr) and not isinstance(part, Jaxpr):  # one type from JAX 0.12 on
        inner = _in_order(part.jaxpr)
        return part if inner is part.jaxpr else ClosedJaxpr(inner, part.consts)
    if isinstance(part, Jaxpr):
        return part if _is_in_order(part) else part.replace(eqns=[_equation_in_order(each) for each in part.eqns])
    return tuple(_in_order(inner) for inner in part) if type(part) is tuple else part


def _is_in_order(program: Jaxpr) -> bool:
    """Whether there is nothing to do, as mostly: seen without a call for each of the many equations."""
    return all(_is_fast(each) for each in program.eqns if each.primitive is jax.lax.conv_general_dilated_p) and all(
        _is_in_order(inner) for inner in subjaxprs(program)
    )


def _equation_in_order(equation: JaxprEqn) -> JaxprEqn:
    if equation.primitive is jax.lax.conv_general_dilated_p:
        return equation if _is_fast(equation) else _convolution_in_order(equation)
    return equation.replace(params={name: _in_order(parameter) for name, parameter in equation.params.items()})


def _is_fast(convolution: JaxprEqn) -> bool:
    """Whether a convolution is best left as it is."""
    return convolutions.is_fast(*_structs(convolution), **convolution.params)


def _convolution_in_order(equation: JaxprEqn) -> JaxprEqn:
    convolution = jax.jit(functools.partial(convolutions.convolve, **equation.params))
    (call,) = jax.make_jaxpr(convolution)(*_structs(equation)).eqns
    return call.replace(invars=equation.invars, outvars=equation.outvars, source_info=equation.source_info)


def _structs(equation: JaxprEqn) -> list[jax.ShapeDtypeStruct]:
    avals: list[Any] = [variable.aval for variable in equation.invars]
    return [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
