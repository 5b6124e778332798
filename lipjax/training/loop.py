"""The loop around compiled updates: of one network or of several at once, each recorded by itself and resumable."""

import itertools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from tqdm import tqdm

from lipjax import checks, parallel
from lipjax.augmentation import Augmenting
from lipjax.records import Run
from lipjax.training.feeding import Dispatches, is_streamed, read_ahead
from lipjax.training.interruption import Stopped, deferred
from lipjax.training.optimizers import as_optimizer
from lipjax.training.program import Keys, Order, Program, Span, Way, advance, finite, one_of, together
from lipjax.training.recorder import Execution, Log, NonFiniteLoss, Recorder
from lipjax.training.step import AnyOptimizer, TrainState, init
from lipjax.types import Batch, Dataset, KeyArray, Model, Network, Params, System


class Trainee(NamedTuple):
    """One of the networks that are trained together.

    Attributes:
        key: A typed key; decides everything that is random.
        system: Network and method.
        optimizer: A value such as `adam(1e-3)`, or any optax transformation.
        augment: Random change of each training image.
        run: A run directory of its own, from `records.open_run`.
        log: Called as `log(step, metrics)`, see `Execution`.

    Examples:
        >>> from lipjax import networks
        >>> from lipjax.training import adam
        >>> from lipjax.types import Method
        >>> system = System(networks.mlp(2), Method())
        >>> pack = [Trainee(jax.random.key(seed), system, adam(rate)) for seed, rate in enumerate([1e-3, 1e-2])]
        >>> jax.tree.structure(pack[0].optimizer) == jax.tree.structure(pack[1].optimizer)  # one program serves both
        True
    """

    key: KeyArray
    system: System
    optimizer: AnyOptimizer
    augment: Augmenting | None = None
    run: Run | None = None
    log: Log | None = None


class _Begun(NamedTuple):
    """A trainee on the device, as new or as its run directory has it."""

    network: Network
    program: Program
    keys: Keys
    state: TrainState
    start: Params
    run: Run | None
    log: Log | None

    @property
    def logs(self) -> list[Log]:
        return [log for log in (self.run and self.run.log, self.log) if log]


def _begin(trainee: Trainee, input_shape: tuple[int, ...], batch_size: int, mesh: Mesh | None) -> _Begun:
    key, (plain, method), optimizer, augment, run, log = trainee
    network = method.extend(plain)
    keys = Keys(*jax.random.split(key, 4))
    program = Program(network, method, as_optimizer(optimizer), batch_size, augment)
    program = jax.tree.map(jnp.asarray, program)  # its numbers go to the device once, not at every step
    state = parallel.replicate(init(keys.init, network, input_shape, program.optimizer), mesh)
    start = jax.tree.map(jnp.copy, state.variables.params)  # the training steps take the state's own arrays
    return _Begun(network, program, keys, run.restore(state) if run else state, start, run, log)


def _train(
    pack: Sequence[_Begun], train: Batch, num_steps: int, way: Way, execution: Execution, bar: tqdm
) -> list[Model | NonFiniteLoss]:
    mesh, start = execution.mesh, int(pack[0].state.step)
    filling = 0 if mesh is None or way == "alone" else -len(pack) % mesh.size
    filled = [*pack, *[pack[0]] * filling]
    program, keys, state = (
        together([getattr(one, part) for one in filled], way) for part in ("program", "keys", "state")
    )
    firsts = range(start, num_steps, execution.dispatch)
    spans = [(first, min(first + execution.dispatch, num_steps)) for first in firsts]
    order: Order | None = None
    if is_streamed(train, execution.stream):
        orders = [one.keys.order for one in filled]
        blocks = read_ahead(Dispatches(orders, train, pack[0].program.batch_size, spans, way, mesh))
    else:
        count, blocks = len(train.labels), itertools.repeat(parallel.replicate(train, mesh))
        order = parallel.replicate(jnp.zeros(count if way == "alone" else (len(filled), count), int), mesh)
    recorder = Recorder([one.logs for one in pack], execution.log_every, bar)
    with deferred() as asked_to_stop:
        for (first, last), examples in zip(spans, blocks, strict=False):
            span, options = Span(start, first), {"count": last - first, "way": way, "mesh": mesh}
            state, order, metrics = advance(program, keys, state, order, examples, span, **options)
            recorder.add(last, metrics)
            signal_number = parallel.largest(asked_to_stop() or 0) if last % execution.log_every == 0 else 0
            if last % execution.checkpoint_every == 0 or last == num_steps or signal_number:
                recorder.read()
                recorder.check_variables(last, finite(state.variables, way))
                for index in recorder.going():
                    if (run := pack[index].run) is not None:
                        run.save(last, one_of(state, index, way))
            if signal_number:
                raise Stopped(signal_number)
            if not recorder.going():
                break
    return [
        member.failure or Model(one.network, one_of(state.variables, index, way), one.start)
        for index, (one, member) in enumerate(zip(pack, recorder.members, strict=True))
    ]


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
        dataset: Its training examples go to the device as they are, uint8 levels or floats; batch by batch where all
            of them are too large, see `Execution`.
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
    checks.of_type(Execution, execution=execution)
    trainee = Trainee(key, system, optimizer, augment, execution.run, execution.log)
    (trained,) = fit_together(
        [trainee], dataset, num_steps=num_steps, batch_size=batch_size, execution=execution._replace(run=None, log=None)
    )
    if isinstance(trained, NonFiniteLoss):
        raise trained
    return trained


def fit_together(
    trainees: Sequence[Trainee],
    dataset: Dataset,
    *,
    num_steps: int,
    batch_size: int,
    way: Way = "vmap",
    execution: Execution = Execution(),  # noqa: B008 - immutable
) -> list[Model | NonFiniteLoss]:
    """Trains several systems that differ in numbers and keys only, as one compiled program.

    Args:
        trainees: What is trained; each keeps its records in a run directory of its own, and continues from there.
        dataset: As for `fit`.
        num_steps: Number of updates of each.
        batch_size: Examples per update.
        way: "map" trains one after another within the program: on CPU, for nearly all systems, the same bits as `fit`.
            "vmap" trains them side by side: the same up to rounding.
        execution: How they are run. A mesh spreads the networks over its devices; `run` and `log` are the trainees'.

    Returns:
        Each trained model, or the value that stopped its training; the others are trained on. Where the memory of the
        device does not suffice, halves are trained one after another.

    Raises:
        ValueError: As `fit`, and if the trainees differ in more than numbers.
        Stopped: As `fit`; all run directories have the state reached.

    Examples:
        >>> from lipjax import datasets, networks, systems, training
        >>> system = systems.vanilla(networks.mlp(2, widths=(8,)))
        >>> pack = [Trainee(jax.random.key(seed), system, training.sgd(0.1)) for seed in range(3)]
        >>> models = fit_together(pack, datasets.load("toy"), num_steps=10, batch_size=8)
        >>> len(models), models[0].variables.params["dense0"]["kernel"].shape
        (3, (1, 8))
    """
    checks.at_least(1, num_steps=num_steps, batch_size=batch_size)
    num_steps, batch_size = int(num_steps), int(batch_size)
    checks.of_type(Dataset, dataset=dataset)
    checks.of_type(Execution, execution=execution)
    execution.check()
    checks.examples(*dataset.train)
    checks.classes(dataset.num_classes, dataset.train.labels)
    if batch_size > len(dataset.train.labels):
        raise ValueError(f"batch_size must be at most the {len(dataset.train.labels)} examples, got {batch_size}")
    try:
        return _fit(trainees, dataset, num_steps, batch_size, way, execution)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error) or len(trainees) < 2:
            raise
    half = (len(trainees) + 1) // 2
    logging.getLogger(__name__).warning("%d networks need too much memory, %d are tried", len(trainees), half)
    parts = (trainees[:half], trainees[half:])
    options: Any = {"num_steps": num_steps, "batch_size": batch_size, "way": way, "execution": execution}
    return [trained for part in parts for trained in fit_together(part, dataset, **options)]


def _fit(
    trainees: Sequence[Trainee], dataset: Dataset, num_steps: int, batch_size: int, way: Way, execution: Execution
) -> list[Model | NonFiniteLoss]:
    begun = [_begin(trainee, dataset.input_shape, batch_size, execution.mesh) for trainee in trainees]
    if len({jax.tree.structure(one.program) for one in begun}) > 1:
        raise ValueError("only trainings that differ in numbers and keys can be made together")
    steps = [int(one.state.step) for one in begun]
    disable = None if execution.progress is None else not execution.progress
    trained: dict[int, Model | NonFiniteLoss] = {}
    for step in sorted(set(steps)):  # those that stopped at different steps are packs of their own
        indices = [index for index, reached in enumerate(steps) if reached == step]
        pack = [begun[index] for index in indices]
        with tqdm(total=num_steps, initial=step, unit="step", disable=disable) as bar:
            own = _train(pack, dataset.train, num_steps, way if len(pack) > 1 else "alone", execution, bar)
        trained |= zip(indices, own, strict=True)
    return [trained[index] for index in range(len(begun))]
