"""The loop around the step: dataset and augmentation on the device, several steps per dispatch, resumable."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree
from tqdm import tqdm

from lipjax import checks, loops, parallel
from lipjax.augmentation import Augmenting
from lipjax.batching import over_examples
from lipjax.training.interruption import Stopped, deferred
from lipjax.training.optimizers import Optimizer, as_optimizer
from lipjax.training.recorder import Execution, NonFiniteLoss, Recorder, Trace
from lipjax.training.step import AnyOptimizer, TrainState, init, make_step
from lipjax.types import Batch, Dataset, KeyArray, Method, Model, Network, System, Terms, pixels
from lipjax.values import Value

Order = Int[Array, " examples"]


class _Program(Value):
    """What is trained and how: calls of `fit` whose programs differ in numbers only share a compiled one."""

    network: Network
    method: Method
    optimizer: Optimizer
    batch_size: int
    augment: Augmenting | None
    mesh: Mesh | None


class _Keys(NamedTuple):
    init: KeyArray
    order: KeyArray
    augment: KeyArray
    step: KeyArray


def _epoch_order(key: KeyArray, epoch: Int[Array, ""], count: int) -> Order:
    return jax.random.permutation(jax.random.fold_in(key, epoch), count)


def _draw(keys: _Keys, examples: Batch, order: Order, step: Int[Array, ""], program: _Program) -> Batch:
    position = step % (len(order) // program.batch_size)
    rows = jax.lax.dynamic_slice_in_dim(order, position * program.batch_size, program.batch_size)
    batch = parallel.shard_batch(jax.tree.map(lambda leaf: leaf[rows], examples), program.mesh)
    if program.augment is None:
        return batch
    inputs = over_examples(program.augment)(jax.random.fold_in(keys.augment, step), pixels(batch.inputs))
    return batch._replace(inputs=inputs)


@partial(jax.jit, static_argnames="count", donate_argnames=("state", "order"))
def _advance(
    program: _Program, keys: _Keys, state: TrainState, order: Order, examples: Batch, *, count: int
) -> tuple[TrainState, Order, Trace]:
    """Makes `count` updates; metrics have a leading axis of that length, the order is that of the last epoch."""
    update = make_step(program.network, program.method, program.optimizer)
    steps_per_epoch = len(order) // program.batch_size

    def advance(carry: tuple[TrainState, Order], _: None) -> tuple[tuple[TrainState, Order], Terms]:
        state, order = carry
        epoch, position = jnp.divmod(state.step, steps_per_epoch)
        is_due = (position == 0) | (order[0] < 0)
        order = jax.lax.cond(is_due, lambda: _epoch_order(keys.order, epoch, len(order)), lambda: order)
        state, metrics = update(keys.step, state, _draw(keys, examples, order, state.step, program))
        return (state, order), metrics

    if count == 1:
        (state, order), metrics = advance((state, order), None)
        return state, order, jax.tree.map(lambda value: value[None], metrics)
    (state, order), metrics = loops.scan(advance, (state, order), length=count)
    return state, order, metrics


@jax.jit
def _finite(tree: PyTree) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def _train(
    program: _Program, keys: _Keys, state: TrainState, examples: Batch, num_steps: int, execution: Execution, bar: tqdm
) -> TrainState:
    run, logs = execution.run, [execution.log] if execution.log else []
    recorder = Recorder([run.log, *logs] if run else logs, execution.log_every, bar)
    order = parallel.replicate(jnp.full(len(examples.labels), -1), program.mesh)  # -1: not drawn yet
    with deferred() as asked_to_stop:
        for first in range(int(state.step), num_steps, execution.dispatch):
            last = min(first + execution.dispatch, num_steps)
            state, order, metrics = _advance(program, keys, state, order, examples, count=last - first)
            recorder.add(last, metrics)
            signal_number = asked_to_stop() if last % execution.log_every == 0 else None
            if last % execution.checkpoint_every == 0 or last == num_steps or signal_number:
                recorder.read()
                if not _finite(state.variables):
                    raise NonFiniteLoss(last, "variables")
                if run is not None:
                    run.save(last, state)
            if signal_number:
                raise Stopped(signal_number)
    return state


def fit(
    key: KeyArray,
    system: System,
    dataset: Dataset,
    optimizer: AnyOptimizer,
    *,
    num_steps: int,
    batch_size: int,
    augment: Augmenting | None = None,
    execution: Execution = Execution(),  # noqa: B008 - immutable
) -> Model:
    """Trains a system.

    Every epoch visits the training examples in a new order; a last part that does not fill a batch is left out. The
    batches, the augmentation and the steps depend on the key and on the step's number only. Systems, optimisers and
    augmentations that differ in numbers only share one compiled program.

    Args:
        key: A typed key; decides everything that is random.
        system: Network and method.
        dataset: Its training examples go to the device as they are, uint8 levels or floats.
        optimizer: A value such as `adam(cosine(1e-3, num_steps))`, or any optax transformation.
        num_steps: Number of updates.
        batch_size: Examples per update.
        augment: Random change of each training image, for example `augmentation.random_crop()`.
        execution: How it is run, watched and recorded.

    Returns:
        The trained model. On CPU it is the same, bit for bit, wherever and however often the run was killed.

    Raises:
        ValueError: If a number is not a whole number of at least 1, if the numbers of the execution do not divide each
            other, or if the batch is larger than the training set.
        NonFiniteLoss: If a term of the loss, or a variable, is not finite. The run directory keeps the last good
            state.
        Stopped: If SIGINT or SIGTERM asked the process to stop. The run directory has the state reached.

    Examples:
        >>> from lipjax import datasets, networks, systems, training
        >>> system = systems.vanilla(networks.mlp(2, widths=(8,)))
        >>> dataset, optimizer = datasets.load("toy"), training.sgd(0.1)
        >>> model = fit(jax.random.key(0), system, dataset, optimizer, num_steps=10, batch_size=8)
        >>> model(jnp.zeros((3, *dataset.input_shape)))[0].logits.shape
        (3, 2)
    """
    checks.at_least(1, num_steps=num_steps, batch_size=batch_size)
    execution.check()
    checks.examples(*dataset.train)
    checks.classes(dataset.num_classes, dataset.train.labels)
    if batch_size > len(dataset.train.labels):
        raise ValueError(f"batch_size must be at most the {len(dataset.train.labels)} examples, got {batch_size}")
    run, mesh, network = execution.run, execution.mesh, system.method.extend(system.network)
    keys = _Keys(*jax.random.split(key, 4))
    program = _Program(network, system.method, as_optimizer(optimizer), batch_size, augment, mesh)
    program = jax.tree.map(jnp.asarray, program)  # its numbers go to the device once, not at every step
    state = parallel.replicate(init(keys.init, network, dataset.input_shape, program.optimizer), mesh)
    start = jax.tree.map(jnp.copy, state.variables.params)  # the training steps take the state's own arrays
    state = run.restore(state) if run else state
    disable = None if execution.progress is None else not execution.progress
    with tqdm(total=num_steps, initial=int(state.step), unit="step", disable=disable) as bar:
        examples = parallel.replicate(dataset.train, mesh)
        state = _train(program, keys, state, examples, num_steps, execution, bar)
    return Model(network, state.variables, start)
