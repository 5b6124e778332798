"""The loop around the step: dataset and augmentation on the device, several steps per dispatch, resumable."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, PyTree
from tqdm import tqdm

from lipjax import checks, parallel
from lipjax.augmentation import Augment
from lipjax.batching import over_examples
from lipjax.records import Run
from lipjax.training.recorder import Log, NonFiniteLoss, Pace, Recorder, Trace
from lipjax.training.step import TrainState, init, make_step
from lipjax.types import Batch, Dataset, KeyArray, Model, System, Terms, pixels

Order = Int[Array, " examples"]


class _Program(NamedTuple):
    """All that is compiled into the loop: calls of `fit` with equal ones share one compiled program."""

    system: System
    optimizer: optax.GradientTransformation
    batch_size: int
    augment: Augment | None
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


@partial(jax.jit, static_argnames=("program", "count"), donate_argnames=("state", "order"))
def _advance(
    keys: _Keys, state: TrainState, order: Order, examples: Batch, *, program: _Program, count: int
) -> tuple[TrainState, Order, Trace]:
    """Makes `count` updates; metrics have a leading axis of that length, the order is that of the last epoch."""
    update = make_step(*program.system, program.optimizer)
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
    (state, order), metrics = jax.lax.scan(advance, (state, order), length=count)
    return state, order, metrics


@jax.jit
def _finite(tree: PyTree) -> Bool[Array, ""]:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def _train(
    keys: _Keys,
    state: TrainState,
    examples: Batch,
    program: _Program,
    pace: Pace,
    recorder: Recorder,
    run: Run | None,
) -> TrainState:
    start = int(state.step)
    order = parallel.replicate(jnp.full(len(examples.labels), -1), program.mesh)  # -1: not drawn yet
    for first in range(start, pace.num_steps, pace.dispatch):
        last = min(first + pace.dispatch, pace.num_steps)
        state, order, metrics = _advance(keys, state, order, examples, program=program, count=last - first)
        recorder.add(last, metrics)
        if pace.is_checkpoint(last):
            recorder.read()
            if not _finite(state.variables):
                raise NonFiniteLoss(last, "variables")
            if run is not None:
                run.save(last, state)
    return state


def fit(
    key: KeyArray,
    system: System,
    dataset: Dataset,
    optimizer: optax.GradientTransformation,
    *,
    num_steps: int,
    batch_size: int,
    augment: Augment | None = None,
    run: Run | None = None,
    log: Log | None = None,
    log_every: int = 50,
    checkpoint_every: int = 500,
    steps_per_dispatch: int | None = None,
    mesh: Mesh | None = None,
    progress: bool | None = None,
) -> Model:
    """Trains a system.

    Every epoch visits the training examples in a new order; a last part that does not fill a batch is left out. The
    batches, the augmentation and the steps depend on the key and on the step's number only.

    Args:
        key: A typed key; decides everything that is random.
        system: Network and method.
        dataset: Its training examples go to the device as they are, uint8 levels or floats.
        optimizer: Any optax transformation.
        num_steps: Number of updates.
        batch_size: Examples per update.
        augment: Random change of each training image, for example `augmentation.random_crop()`.
        run: A run directory, from `records.open_run`: metrics go there, and the last good states, from which the same
            call continues.
        log: Called as `log(step, metrics)` with the means over the last `log_every` steps.
        log_every: Steps between two lines of the log.
        checkpoint_every: Steps between two checkpoints, a multiple of `log_every`. The last state is always kept.
        steps_per_dispatch: Steps that the device makes on its own, a divisor of `log_every`. None for `log_every`, but
            1 on CPU, where XLA's convolution was 28 times slower inside a loop (lipjax's networks do without it and
            gain from 10).
        mesh: From `parallel.mesh`: spreads each batch over its devices.
        progress: Whether to show a progress bar on stderr; None shows it on terminals only.

    Returns:
        The trained model. On CPU it is the same, bit for bit, wherever and however often the run was killed.

    Raises:
        ValueError: If a number is not a whole number of at least 1 or does not divide as above, or if the batch is
            larger than the training set.
        NonFiniteLoss: If a term of the loss, or a variable, is not finite. The run directory keeps the last good
            state.

    Example:
        >>> from lipjax import datasets, networks, systems
        >>> system = systems.vanilla(partial(networks.mlp, 2, widths=(8,)))
        >>> dataset, optimizer = datasets.load("toy"), optax.sgd(0.1)
        >>> model = fit(jax.random.key(0), system, dataset, optimizer, num_steps=10, batch_size=8)
        >>> model(jnp.zeros((3, *dataset.input_shape)))[0].logits.shape
        (3, 2)
    """
    if steps_per_dispatch is None:
        steps_per_dispatch = 1 if jax.default_backend() == "cpu" else log_every
    pace = Pace(num_steps, steps_per_dispatch, log_every, checkpoint_every)
    pace.check()
    checks.at_least(1, batch_size=batch_size)
    if batch_size > len(dataset.train.labels):
        raise ValueError(f"batch_size must be at most the {len(dataset.train.labels)} examples, got {batch_size}")
    keys = _Keys(*jax.random.split(key, 4))
    state = parallel.replicate(init(keys.init, system.network, dataset.input_shape, optimizer), mesh)
    logs: list[Log] = [] if log is None else [log]
    if run is not None:
        state, logs = run.restore(state), [run.log, *logs]
    disable = None if progress is None else not progress
    with tqdm(total=num_steps, initial=int(state.step), unit="step", disable=disable) as bar:
        examples = parallel.replicate(dataset.train, mesh)
        program = _Program(system, optimizer, batch_size, augment, mesh)
        state = _train(keys, state, examples, program, pace, Recorder(logs, pace, bar), run)
    return Model(system.network, state.variables)
