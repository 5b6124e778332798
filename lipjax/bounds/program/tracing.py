"""From any JAX function of one array to a program.

A function is traced once. Calls (`jit`, `custom_jvp`, `remat`) are inlined, everything that doesn't depend on the input
is evaluated, and a few primitives are written in terms of others (`a - b` as `a + (-1) b`, `a / c` as `a (1 / c)`), so
that an interpreter needs one rule for each thing that is really different.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jaxtyping import Array, Float

from lipjax.bounds.program.calls import CALLS, operation_of
from lipjax.bounds.program.steps import Builder, Operand, Program, Wire
from lipjax.norms import Masked, Norm
from lipjax.types import Model, VectorFn


def trace(f: VectorFn | Model, input_shape: Sequence[int]) -> Program:
    """The program of a function of one example, or of a model in evaluation mode; ValueError without one result.

    Matrix products run in full float32 whatever the function asks for.
    """
    function = f.single if isinstance(f, Model) else f
    closed = jax.make_jaxpr(function)(jax.ShapeDtypeStruct(tuple(input_shape), jnp.result_type(float)))
    if len(closed.jaxpr.outvars) != 1:
        raise ValueError(f"the function must return one array, got {len(closed.jaxpr.outvars)}")
    builder = Builder(input_shape)
    (output,) = _walk(builder, closed, [Wire(0)], "")
    return builder.finish(output)


def confined(
    f: Callable[..., Any] | Model, x: Float[Array, "..."], norm: Norm
) -> tuple[Callable[..., Any] | Model, Float[Array, "..."], Norm]:
    """A function, a point and a norm; of the free entries alone where the norm is `masked`.

    Where the others are fixed, what a bound says of the function of the free ones holds in the masked norm.
    """
    if not isinstance(norm, Masked):
        return f, x, norm
    function, free = f.single if isinstance(f, Model) else f, np.array(norm.free)
    fixed = jnp.ravel(x).at[free].set(0.0)

    def of_free(z: Any) -> Any:
        return function(fixed.at[free].add(z, unique_indices=True).reshape(norm.shape))

    return of_free, jnp.ravel(x)[free], norm.norm


def unmasked(norm: Norm) -> Norm:
    """The norm of the entries that may move."""
    return norm.norm if isinstance(norm, Masked) else norm


def _walk(builder: Builder, closed: ClosedJaxpr, inputs: Sequence[Operand], scope: str) -> list[Operand]:
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, map(_constant, closed.consts), strict=True))
    known.update(zip(jaxpr.invars, inputs, strict=True))

    def read(variable: Any) -> Operand:
        if isinstance(variable, Literal):
            return _constant(np.asarray(variable.val, jax.typeof(variable.val).dtype))
        return known[variable]

    for equation in jaxpr.eqns:
        inner_scope = f"{scope}/{getattr(equation.source_info, 'name_stack', '')}".strip("/")
        results = _results(builder, equation, [read(variable) for variable in equation.invars], inner_scope)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


LONGEST_LOOP, _MOST_PRODUCTS = 64, 2**16
_CALLS = {"jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2"}
_IDENTITIES = {"copy", "copy_p", "name", "pvary", "reduce_precision", "reshard", "sharding_constraint", "stop_gradient"}
_FULL_PRECISION = {"precision": (jax.lax.Precision.HIGHEST,) * 2, "preferred_element_type": None}
_IN_FULL = {"conv_general_dilated": _FULL_PRECISION, "dot_general": _FULL_PRECISION}


_OF_ONE_TYPE = {"scatter": jax.lax.scatter, "scatter-add": jax.lax.scatter_add}
"""Primitives with parameters of the type they were traced with; JAX's functions make these anew."""


def _results(builder: Builder, equation: JaxprEqn, operands: list[Operand], scope: str) -> list[Operand]:
    name = equation.primitive.name
    params = {**equation.params, **_IN_FULL.get(name, {})}
    if name in _CALLS:
        inner = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
        closed = ClosedJaxpr(inner, ()) if isinstance(inner, Jaxpr) else inner
        known = operation_of(params.get("name", ""), closed.jaxpr)
        if known and isinstance(operands[0], Wire):
            builder.scope = scope
            return [builder.add(known, operands, CALLS[params["name"]][known])]
        return _walk(builder, closed, operands, scope)
    if name == "scan" and params["length"] <= LONGEST_LOOP and any(isinstance(operand, Wire) for operand in operands):
        return _unrolled(builder, params, operands, scope)
    results = [_bound(equation, params, index) for index in range(len(equation.outvars))]
    if not any(isinstance(operand, Wire) for operand in operands):
        return _evaluated(results, operands)
    if name in _IDENTITIES or (name == "convert_element_type" and _is_float(equation)):
        return operands
    builder.scope = scope
    if name in _REWRITTEN:
        return [_REWRITTEN[name](builder, *operands, **params)]
    return [builder.add(name, operands, apply, **params, output=index) for index, apply in enumerate(results)]


def _bound(equation: JaxprEqn, params: Mapping[str, Any], index: int) -> Callable[..., Any]:
    """The primitive as a function of its operands, of any type of floats; of its results the one with this index."""
    if equation.primitive.name in _OF_ONE_TYPE:
        scatter = _OF_ONE_TYPE[equation.primitive.name]
        names = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
        return functools.partial(scatter, **{name: params[name] for name in names})

    def apply(*values: Any) -> Any:
        results = equation.primitive.bind(*values, **params)
        return results[index] if equation.primitive.multiple_results else results

    return apply


def _evaluated(results: Sequence[Callable[..., Any]], constants: Sequence[Any]) -> list[Any]:
    concrete = not any(isinstance(constant, jax.core.Tracer) for constant in constants)
    with jax.ensure_compile_time_eval() if concrete else contextlib.nullcontext():
        return [_constant(apply(*constants)) for apply in results]


def _constant(value: Any) -> Any:
    """A constant, a number in JAX's own float type; a NumPy array where its value is known, but for random keys."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    if not isinstance(value, jax.core.Tracer):
        value = np.asarray(value)
    return value.astype(jnp.result_type(float)) if jnp.issubdtype(value.dtype, jnp.floating) else value


def _is_float(equation: JaxprEqn) -> bool:
    values: list[Any] = [variable.aval for variable in (*equation.invars, *equation.outvars)]
    return all(jnp.issubdtype(value.dtype, jnp.floating) for value in values)


def _binary(op: str, apply: Callable[..., Any]) -> Callable[..., Wire]:
    """Writes an operation on two values of one shape; a scalar wire is broadcast by a step of its own."""

    def written(builder: Builder, *operands: Operand, **_: Any) -> Wire:
        shapes = [builder.abstract(x).shape if isinstance(x, Wire) else np.shape(x) for x in operands]
        shape = np.broadcast_shapes(*shapes)

        def whole(operand: Operand) -> Operand:
            if not isinstance(operand, Wire) or builder.abstract(operand).shape == shape:
                return operand
            return builder.add("broadcast_in_dim", (operand,), lambda x: jnp.broadcast_to(x, shape))

        return builder.add(op, [whole(operand) for operand in operands], apply)

    return written


_add, _product = _binary("add", jnp.add), _binary("mul", jnp.multiply)
_larger, _smaller = _binary("max", jnp.maximum), _binary("min", jnp.minimum)


def _negate(builder: Builder, x: Wire, **_: Any) -> Wire:
    return _product(builder, x, -np.ones((), jnp.result_type(float)))


def _subtract(builder: Builder, left: Operand, right: Operand, **_: Any) -> Wire:
    return _add(builder, left, _negate(builder, right) if isinstance(right, Wire) else -right)


def _square(builder: Builder, x: Wire, **_: Any) -> Wire:
    return builder.add("square", (x,), jnp.square)


def _multiply(builder: Builder, left: Operand, right: Operand, **_: Any) -> Wire:
    is_square = isinstance(left, Wire) and isinstance(right, Wire) and left == right
    return _square(builder, left) if is_square else _product(builder, left, right)


def _divide(builder: Builder, left: Operand, right: Operand, **_: Any) -> Wire:
    if not isinstance(right, Wire):
        return _product(builder, left, 1 / right)
    return _multiply(builder, left, _reciprocal(builder, right))


def _reciprocal(builder: Builder, x: Wire, **_: Any) -> Wire:
    return builder.add("reciprocal", (x,), lambda value: 1.0 / value)


def _inverse_root(builder: Builder, x: Wire, **_: Any) -> Wire:
    return _reciprocal(builder, builder.add("sqrt", (x,), jnp.sqrt))


def _power(builder: Builder, x: Wire, y: int, **_: Any) -> Wire:
    if y < 0:
        return _reciprocal(builder, _power(builder, x, -y))
    if y < 2:
        return x if y else builder.add("integer_pow", (x,), lambda value: value**y, y=y)
    half = _square(builder, _power(builder, x, y // 2))
    return _multiply(builder, x, half) if y % 2 else half


def _contraction(builder: Builder, left: Operand, right: Operand, **params: Any) -> Wire:
    """A matrix product; of two wires as the sum of products that it is, where these are not too many."""
    operands, apply = (left, right), partial(jax.lax.dot_general, **params)
    if all(isinstance(operand, Wire) for operand in operands):
        contracted, batch = params["dimension_numbers"]
        (one, (count, rows, terms)), (other, (_, columns, _)) = (
            _as_matrices(builder, *side) for side in zip(operands, contracted, batch, strict=True)
        )
        if count * rows * columns * terms <= _MOST_PRODUCTS:
            whole = (count, rows, columns, terms)
            factors = [
                builder.add(
                    "broadcast_in_dim", (_reshaped(builder, wire, shape),), partial(jnp.broadcast_to, shape=whole)
                )
                for wire, shape in ((one, (count, rows, 1, terms)), (other, (count, 1, columns, terms)))
            ]
            total = builder.add("reduce_sum", (_multiply(builder, *factors),), partial(jnp.sum, axis=3), axes=(3,))
            return _reshaped(builder, total, jax.eval_shape(apply, *map(builder.abstract, operands)).shape)
    return builder.add("dot_general", operands, apply, **params)


def _as_matrices(
    builder: Builder, wire: Wire, contracted: Sequence[int], batch: Sequence[int]
) -> tuple[Wire, tuple[int, int, int]]:
    """A wire with its axes in the order of a batch of matrices, and numbers of matrices, rows and columns."""
    shape = builder.abstract(wire).shape
    free = [axis for axis in range(len(shape)) if axis not in (*contracted, *batch)]
    order = (*batch, *free, *contracted)
    count, rows, columns = (math.prod(shape[axis] for axis in axes) for axes in (batch, free, contracted))
    moved = builder.add("transpose", (wire,), partial(jnp.transpose, axes=order), permutation=order)
    return moved, (count, rows, columns)


def _reshaped(builder: Builder, wire: Wire, shape: tuple[int, ...]) -> Wire:
    return builder.add("reshape", (wire,), partial(jnp.reshape, shape=shape))


def _unrolled(builder: Builder, params: Mapping[str, Any], operands: Sequence[Operand], scope: str) -> list[Operand]:
    """A loop of known length, turn by turn."""
    if "ft_in" in params:  # from JAX 0.12 on
        parts = params["ft_in"].update(operands).unpack()
    else:
        first = params["num_consts"]
        last = first + params["num_carry"]
        parts = operands[:first], operands[first:last], operands[last:]
    consts, carry, rest = map(list, parts)
    turns = range(params["length"])
    stacked: list[list[Operand]] = []
    for turn in reversed(turns) if params["reverse"] else turns:
        slices = [_at(builder, operand, turn) for operand in rest]
        results = _walk(builder, params["jaxpr"], [*consts, *carry, *slices], scope)
        carry, stacked = results[: len(carry)], [*stacked, results[len(carry) :]]
    kept = list(zip(*(reversed(stacked) if params["reverse"] else stacked), strict=True))
    return [*carry, *[_stacked(builder, each) for each in kept]]


def _at(builder: Builder, operand: Operand, index: int) -> Operand:
    if not isinstance(operand, Wire):
        return operand[index]
    part = builder.add("slice", (operand,), lambda x: x[index : index + 1], axis=0, start=index)
    return builder.add("reshape", (part,), lambda x: x[0])


def _stacked(builder: Builder, values: Sequence[Operand]) -> Operand:
    if not any(isinstance(value, Wire) for value in values):
        return np.stack(values)
    rows = [builder.add("reshape", (v,), lambda x: x[None]) if isinstance(v, Wire) else v[None] for v in values]
    return builder.add("concatenate", rows, lambda *each: jnp.concatenate(each), dimension=0)


_REWRITTEN: dict[str, Callable[..., Wire]] = {
    "add": _add,
    "add_any": _add,
    "clamp": lambda builder, low, x, high, **_: _smaller(builder, _larger(builder, x, low), high),
    "div": _divide,
    "dot_general": _contraction,
    "integer_pow": _power,
    "max": _larger,
    "min": _smaller,
    "mul": _multiply,
    "neg": _negate,
    "rsqrt": _inverse_root,
    "square": _square,
    "sub": _subtract,
}
