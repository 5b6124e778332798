"""Training: one step that any method fits into, and the loop around it.

The step never learns a method's name: a method perturbs the batch, adds terms to the loss, replaces the loss, projects
the parameters. `fit` keeps dataset and augmentation on the device, gathers metrics without making the device wait, and
continues from a run directory.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PyTree
from tqdm import tqdm

from lipjax import checks, parallel
from lipjax.augmentation import Augment
from lipjax.batching import over_examples
from lipjax.losses import cross_entropy
from lipjax.records import Run
from lipjax.types import (
    Batch,
    Dataset,
    KeyArray,
    Method,
    Model,
    Network,
    Output,
    Params,
    Scalar,
    State,
    System,
    Terms,
    Variables,
    pixels,
)


class TrainState(NamedTuple):
    """Where a training run stands.

    Attributes:
        step: How many updates were made.
        variables: Parameters and network state.
        optimizer_state: What optax remembers.
    """

    step: Int[Array, ""]
    variables: Variables
    optimizer_state: PyTree


Order = Int[Array, " examples"]
Trace: TypeAlias = Mapping[str, Float[Array, " steps"]]
Log: TypeAlias = Callable[[int, Mapping[str, float]], None]
Step: TypeAlias = Callable[[KeyArray, TrainState, Batch], tuple[TrainState, Terms]]


class NonFiniteLoss(FloatingPointError):  # noqa: N818 - reads as what happened
    """Training met a value that is not finite.

    Attributes:
        step: The update, counted from 1, that met it.
        term: Name of the term of the loss, or "loss" for their sum, or "variables".
    """

    def __init__(self, step: int, term: str):
        super().__init__(f"{term} is not finite at step {step}")
        self.step = step
        self.term = term


@partial(jax.jit, static_argnames=("network", "input_shape", "optimizer"))
def init(
    key: KeyArray, network: Network, input_shape: tuple[int, ...], optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first update."""
    variables = network.init(key, input_shape)
    return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(variables.params))


def mean_cross_entropy(model: Model, batch: Batch, output: Output) -> Terms:
    """The loss of plain training, as a method's `loss` hook: the batch mean of the cross-entropy."""
    return {"cross_entropy": jnp.mean(jax.vmap(cross_entropy)(output.logits, batch.labels))}


def _joined(terms: Terms, penalties: Terms) -> Terms:
    if clash := terms.keys() & penalties.keys():
        raise ValueError(f"{sorted(clash)[0]!r} names two terms of the loss")
    return {**terms, **penalties}


def make_step(network: Network, method: Method, optimizer: optax.GradientTransformation) -> Step:
    """One update as a pure function: perturb, forward, loss and penalties, gradient, optimizer, project.

    Args:
        network: What is trained.
        method: How it differs from plain training.
        optimizer: Any optax transformation: schedules, weight decay and clipping live there.

    Returns:
        `step(key, state, batch) -> (state, metrics)`, for `jit`, `vmap` and `scan`. The key is the same at every
        step: the step's number is folded in. Metrics are the named terms, their sum `loss`, and `accuracy` on the
        (perturbed) batch before the update.
    """
    loss_hook = method.loss or mean_cross_entropy

    def objective(params: Params, state: State, key: KeyArray, batch: Batch) -> tuple[Scalar, tuple[State, Terms]]:
        model = Model(network, Variables(params, state))
        output, new_state = model(pixels(batch.inputs), train=True)
        terms = _joined(loss_hook(model, batch, output), method.penalize(key, model, batch, output))
        loss = jnp.sum(jnp.stack(list(terms.values())))
        accuracy = jnp.mean(jnp.argmax(output.logits, -1) == batch.labels)
        return loss, (new_state, {**terms, "loss": loss, "accuracy": accuracy})

    def step(key: KeyArray, state: TrainState, batch: Batch) -> tuple[TrainState, Terms]:
        perturb_key, penalty_key = jax.random.split(jax.random.fold_in(key, state.step))
        variables, batch = state.variables, batch._replace(inputs=pixels(batch.inputs))
        batch = method.perturb(perturb_key, Model(network, variables), batch)
        gradients, (network_state, metrics) = jax.grad(objective, has_aux=True)(*variables, penalty_key, batch)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, variables.params)
        params = method.project(optax.apply_updates(variables.params, updates))
        return TrainState(state.step + 1, Variables(params, network_state), optimizer_state), metrics

    return step


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
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))


def _require_finite(last: int, metrics: Mapping[str, np.ndarray]) -> None:
    first = last + 1 - len(metrics["loss"])
    steps = {name: first + np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
    bad = [(found[0].item(), name == "loss", name) for name, found in steps.items() if found.size]
    if bad:
        step, _, term = min(bad)
        raise NonFiniteLoss(step, term)


class _Pace(NamedTuple):
    """How often what happens, in steps."""

    num_steps: int
    dispatch: int
    log: int
    checkpoint: int

    def check(self) -> None:
        checks.at_least(1, num_steps=self.num_steps, log_every=self.log)
        checks.at_least(1, steps_per_dispatch=self.dispatch, checkpoint_every=self.checkpoint)
        if self.log % self.dispatch:
            raise ValueError(f"log_every must be a multiple of steps_per_dispatch, got {self.log} and {self.dispatch}")
        if self.checkpoint % self.log:
            raise ValueError(f"checkpoint_every must be a multiple of log_every, got {self.checkpoint} and {self.log}")


class _Recorder:
    """Reads the metrics of each dispatch while the device works on the next one, and logs their means."""

    def __init__(self, logs: list[Log], pace: _Pace, bar: tqdm):
        self._logs, self._pace, self._bar = logs, pace, bar
        self._pending: deque[tuple[int, Trace]] = deque()
        self._window: list[Mapping[str, np.ndarray]] = []

    def add(self, last: int, metrics: Trace) -> None:
        self._pending.append((last, metrics))
        self.read(keep=1)

    def read(self, keep: int = 0) -> None:
        while len(self._pending) > keep:
            last, metrics = self._pending.popleft()
            values = jax.device_get(metrics)
            _require_finite(last, values)
            self._window.append(values)
            self._bar.update(len(values["loss"]))
            if last % self._pace.log == 0 or last == self._pace.num_steps:
                self._log(last)

    def _log(self, step: int) -> None:
        columns = {name: np.concatenate([part[name] for part in self._window]) for name in self._window[0]}
        means = {name: float(np.mean(column, dtype=np.float64)) for name, column in columns.items()}
        self._window.clear()
        self._bar.set_postfix(loss=means["loss"], accuracy=means["accuracy"])
        for log in self._logs:
            log(step, means)


def _train(
    keys: _Keys,
    state: TrainState,
    examples: Batch,
    program: _Program,
    pace: _Pace,
    recorder: _Recorder,
    save: Callable[[int, TrainState], None],
) -> TrainState:
    start = int(state.step)
    order = parallel.replicate(jnp.full(len(examples.labels), -1), program.mesh)  # -1: not drawn yet
    for first in range(start, pace.num_steps, pace.dispatch):
        last = min(first + pace.dispatch, pace.num_steps)
        state, order, metrics = _advance(keys, state, order, examples, program=program, count=last - first)
        recorder.add(last, metrics)
        if last % pace.checkpoint == 0 or last == pace.num_steps:
            recorder.read()
            if not _finite(state.variables):
                raise NonFiniteLoss(last, "variables")
            save(last, state)
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
        steps_per_dispatch: Steps that the device makes on its own, a divisor of `log_every`. None for 1 on CPU and
            for `log_every` elsewhere.
        mesh: From `parallel.mesh`: spreads each batch over its devices.
        progress: Whether to show a progress bar on stderr; None shows it on terminals only.

    Returns:
        The trained model. On CPU it is the same, bit for bit, wherever and however often the run was killed.

    Raises:
        ValueError: If a number is not a whole number of at least 1 or does not divide as above, or if the batch is
            larger than the training set.
        NonFiniteLoss: If a term of the loss, or a variable, is not finite. The run directory keeps the last good
            state.
    """
    is_cpu = jax.default_backend() == "cpu"
    pace = _Pace(num_steps, steps_per_dispatch or (1 if is_cpu else log_every), log_every, checkpoint_every)
    pace.check()
    checks.at_least(1, batch_size=batch_size)
    if batch_size > len(dataset.train.labels):
        raise ValueError(f"batch_size must be at most the {len(dataset.train.labels)} examples, got {batch_size}")
    keys = _Keys(*jax.random.split(key, 4))
    state = parallel.replicate(init(keys.init, system.network, dataset.input_shape, optimizer), mesh)
    state = state if run is None else run.restore(state)
    logs = [*([] if run is None else [run.log]), *([] if log is None else [log])]
    save = (lambda step, state: None) if run is None else run.save
    program = _Program(system, optimizer, batch_size, augment, mesh)
    disable = None if progress is None else not progress
    with tqdm(total=num_steps, initial=int(state.step), unit="step", disable=disable) as bar:
        recorder = _Recorder(logs, pace, bar)
        examples = parallel.replicate(dataset.train, mesh)
        state = _train(keys, state, examples, program, pace, recorder, save)
    return Model(system.network, state.variables)
