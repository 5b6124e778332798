"""The compiled part of training: several updates at once, of one network or of a pack of them."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree

from lipjax import loops, parallel
from lipjax.augmentation import Augmenting
from lipjax.batching import over_examples
from lipjax.training.optimizers import Optimizer
from lipjax.training.recorder import Trace
from lipjax.training.step import TrainState, make_step
from lipjax.types import Batch, KeyArray, Method, Network, Terms, pixels
from lipjax.values import Value

Order = Int[Array, "*pack examples"]
Way: TypeAlias = Literal["alone", "map", "vmap"]
"""How one compiled call trains: one network; several, one after another; or several side by side."""
Tree = TypeVar("Tree", bound=PyTree)


class Program(Value):
    """What is trained and how: trainings whose programs differ in numbers only share a compiled one."""

    network: Network
    method: Method
    optimizer: Optimizer
    batch_size: int
    augment: Augmenting | None


class Keys(NamedTuple):
    """Keys of all that is random in a training."""

    init: KeyArray
    order: KeyArray
    augment: KeyArray
    step: KeyArray


class Span(NamedTuple):
    """Numbers of updates.

    Attributes:
        start: The one with which this process began.
        first: The next one.
    """

    start: int
    first: int


@partial(jax.jit, static_argnames=("count", "way", "mesh"), donate_argnames=("state", "order"))
def advance(
    program: Program,
    keys: Keys,
    state: TrainState,
    order: Order | None,
    examples: Batch,
    span: Span,
    *,
    count: int,
    way: Way,
    mesh: Mesh | None,
) -> tuple[TrainState, Order | None, Trace]:
    """Makes `count` updates; metrics have a last axis of that length, the order is that of the last epoch.

    Without an order, the examples are the batches of these updates, `[count, batch, ...]`. In a pack, all arrays but
    all examples have a leading axis. A mesh spreads the batch of a network that is trained alone, and else the
    networks, so that no device waits for another.
    """
    each = partial(_advance, batch_mesh=mesh if way == "alone" else None, count=count)
    shared, own = (None, examples) if order is None else (examples, order)
    return over(way, each, mesh)((shared, span), program, keys, state, own)


def _advance(
    shared: tuple[Batch | None, Span],
    program: Program,
    keys: Keys,
    state: TrainState,
    own: Order | Batch,
    *,
    batch_mesh: Mesh | None,
    count: int,
) -> tuple[TrainState, Order | None, Trace]:
    examples, span = shared
    update = make_step(program.network, program.method, program.optimizer)
    order = None if examples is None else own

    def updated(carry: tuple[TrainState, Any], step: Int[Array, ""]) -> tuple[tuple[TrainState, Any], Terms]:
        state, order = carry
        if examples is None:
            batch = jax.tree.map(lambda leaf: leaf[step - span.first], own)
        else:
            order, rows = _rows(keys, order, step, span, program.batch_size)
            batch = jax.tree.map(lambda leaf: leaf[rows], examples)
        batch = _augmented(keys, parallel.shard_batch(batch, batch_mesh), step, program)
        state, metrics = update(keys.step, state, batch)
        return (state, order), metrics

    if count == 1:
        (state, order), metrics = updated((state, order), jnp.asarray(span.first))
        return state, order, jax.tree.map(lambda value: value[None], metrics)
    (state, order), metrics = loops.scan(updated, (state, order), span.first + jnp.arange(count))
    return state, order, metrics


def over(way: Way, of_one: Callable[..., Tree], mesh: Mesh | None) -> Callable[..., Tree]:
    """A function of what is shared and of one network, as a function of all that are trained together."""
    if way == "alone":
        return of_one

    def of_all(shared: PyTree, *all: PyTree) -> PyTree:
        bound = partial(of_one, shared)
        return jax.vmap(bound)(*all) if way == "vmap" else loops.map(lambda each: bound(*each), all)

    return parallel.on_parts(of_all, mesh, num_whole=1)


@partial(jax.jit, static_argnames="count")
def epoch_order(key: KeyArray, epoch: Int[Array, ""] | int, count: int) -> Order:
    """The order of the examples in an epoch, the same in all processes."""
    return jax.random.permutation(jax.random.fold_in(key, epoch), count)


def _rows(
    keys: Keys, order: Order, step: Int[Array, ""], span: Span, batch_size: int
) -> tuple[Order, Int[Array, " batch"]]:
    """The order of the step's epoch, and the examples of the step."""
    epoch, position = jnp.divmod(step, len(order) // batch_size)
    is_due = (position == 0) | (step == span.start)
    order = jax.lax.cond(is_due, lambda: epoch_order(keys.order, epoch, len(order)), lambda: order)
    return order, jax.lax.dynamic_slice_in_dim(order, position * batch_size, batch_size)


def _augmented(keys: Keys, batch: Batch, step: Int[Array, ""], program: Program) -> Batch:
    if program.augment is None:
        return batch
    inputs = over_examples(program.augment)(jax.random.fold_in(keys.augment, step), pixels(batch.inputs))
    return batch._replace(inputs=inputs)


@partial(jax.jit, static_argnames="way")
def finite(tree: PyTree, way: Way) -> Bool[Array, "*pack"]:
    """Whether all numbers are finite, for each network."""
    kept = 0 if way == "alone" else 1
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    each = [jnp.all(jnp.isfinite(leaf), axis=range(kept, leaf.ndim)) for leaf in leaves]
    return jnp.all(jnp.stack(each), axis=0)


def together(trees: Sequence[Tree], way: Way) -> Tree:
    """Trees of arrays as one whose arrays have a leading axis; the tree itself of a network that is trained alone."""
    return trees[0] if way == "alone" else _stacked(tuple(trees))


def one_of(tree: Tree, index: int, way: Way) -> Tree:
    """What belongs to one network."""
    return tree if way == "alone" else _taken(tree, index)


@jax.jit
def _stacked(trees: tuple[Any, ...]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@jax.jit
def _taken(tree: Any, index: Int[Array, ""] | int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)
