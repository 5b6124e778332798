import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, softmax

from lipjax import methods, networks, records, training, values
from lipjax.augmentation import random_crop
from lipjax.norms import linf
from lipjax.training import program
from lipjax.types import Batch, Dataset, Method, Model, Network, Output, System, Variables, pixels

SHAPE, CLASSES, COUNT = (3, 3, 1), 4, 24


def linear_network(start: float = 0.0) -> Network:
    """Logits W x, with a state that counts the training steps."""

    def init(key: jax.Array, input_shape: tuple[int, ...]) -> Variables:
        weights = jax.random.normal(key, (int(np.prod(input_shape)), CLASSES))
        return Variables({"w": weights, "count": jnp.float32(start)}, {"calls": jnp.int32(0)})

    def apply(variables: Variables, inputs: jax.Array, *, train: bool) -> tuple[Output, dict]:
        hidden = inputs.reshape(len(inputs), -1)
        logits = hidden @ variables.params["w"]
        return Output(logits, {"hidden": hidden}), {"calls": variables.state["calls"] + jnp.int32(train)}

    return networks.from_functions(init, apply)


def examples(count: int = COUNT) -> Batch:
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return Batch(inputs, generator.integers(0, CLASSES, count))


NETWORK = linear_network()
PLAIN = System(NETWORK, Method())
SGD = optax.sgd(0.1, momentum=0.9)
DATASET = Dataset("levels", examples(), examples(), CLASSES)


def fit(system: System, **options) -> Model:
    """A training on the levels; how it is executed may be given beside the rest."""
    execution = {name: options.pop(name) for name in training.Execution._fields if name in options}
    settings = {"dataset": DATASET, "optimizer": SGD, "batch_size": 8, "key": jax.random.key(0)} | options
    return training.fit(system=system, execution=training.Execution(**execution), **settings)


def hooked(**hooks) -> Method:
    """A method with these hooks."""
    return type("hooked", (Method,), {name: staticmethod(hook) for name, hook in hooks.items()})()


def assert_same_bits(first: Model, second: Model) -> None:
    for a, b in zip(jax.tree.leaves(first.variables), jax.tree.leaves(second.variables), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def counted(params: dict) -> dict:
    """A projection that counts the updates in the parameter `count`."""
    return {**params, "count": jnp.round(params["count"]) + 1.0}


# --- one step ---


def first_step(method: Method, batch: Batch) -> tuple[training.TrainState, training.TrainState, dict]:
    state = training.init(jax.random.key(1), NETWORK, SHAPE, optax.sgd(0.5))
    step = jax.jit(training.make_step(NETWORK, method, optax.sgd(0.5)))
    after, metrics = step(jax.random.key(2), state, batch)
    return state, after, metrics


def test_a_plain_step_is_gradient_descent_on_the_mean_cross_entropy() -> None:
    batch = examples()
    before, after, metrics = first_step(Method(), batch)
    x, w = batch.inputs.reshape(COUNT, -1) / 255.0, np.asarray(before.variables.params["w"], np.float64)
    onehot = np.eye(CLASSES)[batch.labels]
    gradient = x.T @ (softmax(x @ w, axis=1) - onehot) / COUNT
    np.testing.assert_allclose(after.variables.params["w"], w - 0.5 * gradient, atol=1e-6)
    loss = -np.mean(log_softmax(x @ w, axis=1)[np.arange(COUNT), batch.labels])
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["accuracy"], np.mean(np.argmax(x @ w, 1) == batch.labels))
    assert metrics["cross_entropy"] == metrics["loss"]
    assert (after.step, after.variables.state["calls"]) == (1, 1)


def test_every_hook_has_its_effect() -> None:
    method = hooked(
        perturb=lambda key, model, batch: batch._replace(inputs=jnp.zeros_like(batch.inputs)),
        penalize=lambda key, model, batch, output: {"size": 3.0 * jnp.sum(model.variables.params["w"])},
        project=lambda params: {**params, "count": jnp.array(5.0)},
        loss=lambda model, batch, output: {"logits": jnp.sum(output.logits)},
    )
    before, after, metrics = first_step(method, examples())
    w = before.variables.params["w"]
    assert set(metrics) == {"size", "logits", "loss", "accuracy"}
    assert metrics["logits"] == 0.0  # the perturbed inputs are black
    np.testing.assert_allclose(metrics["loss"], 3.0 * jnp.sum(w), rtol=1e-6)
    np.testing.assert_allclose(after.variables.params["w"], w - 0.5 * 3.0, rtol=1e-6)
    assert after.variables.params["count"] == 5.0


def test_the_loss_is_the_sum_of_its_named_terms() -> None:
    terms = {"a": jnp.array(2.0), "b": jnp.array(-0.5)}
    _, _, metrics = first_step(hooked(penalize=lambda *_: terms), examples())
    np.testing.assert_allclose(metrics["loss"], metrics["cross_entropy"] + 1.5, rtol=1e-6)


def test_a_penalty_may_not_take_the_name_of_a_loss_term() -> None:
    method = hooked(penalize=lambda *_: {"cross_entropy": jnp.array(1.0)})
    with pytest.raises(ValueError, match="'cross_entropy' names two metrics"):
        first_step(method, examples())


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_the_names_of_the_sum_and_of_the_accuracy_are_taken(name: str) -> None:
    method = hooked(loss=lambda *_: {name: jnp.array(1.0)})
    with pytest.raises(ValueError, match=f"'{name}' names two metrics"):
        first_step(method, examples())


def test_a_step_of_several_runs_at_once_is_the_step_of_each() -> None:
    optimizers = [training.sgd(rate) for rate in (0.1, 0.2, 0.4)]
    keys = jax.random.split(jax.random.key(0), 3)
    states = [training.init(key, NETWORK, SHAPE, each) for key, each in zip(keys, optimizers, strict=True)]

    @jax.jit
    def step(optimizer: training.Optimizer, key: jax.Array, state: training.TrainState) -> training.TrainState:
        return training.make_step(NETWORK, Method(), optimizer)(key, state, examples())[0]

    packed = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together = jax.vmap(step)(values.stack(*optimizers), keys, packed)
    for index, (optimizer, key, state) in enumerate(zip(optimizers, keys, states, strict=True)):
        alone = step(optimizer, key, state)
        np.testing.assert_allclose(together.variables.params["w"][index], alone.variables.params["w"], atol=1e-6)


def test_hooks_get_new_keys_at_every_step() -> None:
    draw = hooked(penalize=lambda key, *_: {"draw": jax.random.uniform(key)})
    lines: list[dict] = []
    fit(System(NETWORK, draw), num_steps=6, log_every=1, checkpoint_every=6, log=lambda _, terms: lines.append(terms))
    assert len({line["draw"] for line in lines}) == 6


# --- the loop ---


def batches(num_steps: int, **options) -> list[frozenset[int]]:
    """The examples of each step, told by a term that sums 2**index over the batch."""
    numbers = Batch(np.arange(12, dtype=np.float32).reshape(12, 1, 1, 1), np.zeros(12, np.int32))
    dataset = Dataset("numbers", numbers, numbers, CLASSES, box=None)
    network = linear_network()
    term = hooked(penalize=lambda key, model, batch, output: {"index": jnp.sum(2.0**batch.inputs)})
    sums: list[int] = []
    fit(
        System(network, term),
        key=jax.random.key(3),
        dataset=dataset,
        optimizer=optax.sgd(0.0),
        num_steps=num_steps,
        log_every=1,
        checkpoint_every=1,
        log=lambda _, terms: sums.append(int(terms["index"])),
        **options,
    )
    return [frozenset(i for i in range(12) if total >> i & 1) for total in sums]


def test_each_epoch_visits_every_example_once_in_a_new_order() -> None:
    seen = batches(6, batch_size=4)
    for epoch in (seen[:3], seen[3:]):
        assert sum(len(batch) for batch in epoch) == 12
        assert frozenset.union(*epoch) == frozenset(range(12))
    assert set(seen[:3]) != set(seen[3:])


def test_a_last_part_that_fills_no_batch_is_left_out() -> None:
    seen = batches(4, batch_size=5)
    assert [len(batch) for batch in seen] == [5] * 4
    assert not seen[0] & seen[1]
    assert not seen[2] & seen[3]


def test_training_separates_what_a_line_separates() -> None:
    model = fit(PLAIN, num_steps=300, optimizer=optax.adam(0.3))
    logits = model(pixels(DATASET.train.inputs))[0].logits
    assert np.mean(np.argmax(logits, 1) == DATASET.train.labels) > 0.8


def test_levels_and_pixels_train_alike() -> None:
    floats = Batch(np.asarray(DATASET.train.inputs, np.float32) / np.float32(255), DATASET.train.labels)
    from_levels, from_pixels = fit(PLAIN, num_steps=5), fit(PLAIN, num_steps=5, dataset=DATASET._replace(train=floats))
    np.testing.assert_allclose(from_levels.variables.params["w"], from_pixels.variables.params["w"], atol=1e-6)


def test_the_number_of_steps_per_dispatch_changes_nothing() -> None:
    logs: dict[int, list] = {1: [], 4: []}
    models = [
        fit(
            PLAIN,
            num_steps=10,
            steps_per_dispatch=count,
            log_every=4,
            checkpoint_every=8,
            log=lambda *line, lines=lines: lines.append(line),
        )
        for count, lines in logs.items()
    ]
    np.testing.assert_allclose(*(model.variables.params["w"] for model in models), atol=1e-6)
    assert [step for step, _ in logs[1]] == [step for step, _ in logs[4]] == [4, 8, 10]
    for (_, one), (_, four) in zip(logs[1], logs[4], strict=True):
        np.testing.assert_allclose([*one.values()], [*four.values()], rtol=1e-5)


def test_half_precision_computes_in_bfloat16_and_keeps_float32_parameters() -> None:
    network = networks.mlp(CLASSES, widths=(8,), dtype="bfloat16")
    model = fit(System(network, Method()), num_steps=3)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.variables)} == {np.dtype("float32")}
    assert model(pixels(DATASET.test.inputs))[0].representations["dense0"].dtype == jnp.bfloat16


def test_augmentation_changes_the_training_images_with_a_key_per_example_and_step() -> None:
    draws: list[float] = []
    spread = hooked(penalize=lambda key, model, batch, output: {"spread": jnp.std(batch.inputs) * 1e-6})
    fit(
        System(NETWORK, spread),
        num_steps=3,
        log_every=1,
        checkpoint_every=1,
        augment=lambda key, image: jnp.full_like(image, jax.random.uniform(key)),
        log=lambda _, terms: draws.append(terms["spread"]),
    )
    assert min(draws) > 0.0
    assert len(set(draws)) == 3


def test_two_seeds_share_one_compiled_program() -> None:
    fit(PLAIN, num_steps=2)
    compiled = program.advance._cache_size()
    fit(PLAIN, key=jax.random.key(7), num_steps=2)
    assert program.advance._cache_size() == compiled


def varied(scale: float) -> tuple[Method, training.Optimizer]:
    """A training in which every number depends on the scale."""
    method = methods.chain(
        methods.adversarial(linf.ball(0.1 * scale), step_size=0.05 * scale, num_steps=2),
        methods.gaussian(0.1 * scale),
        methods.input_gradient(0.1 * scale),
        methods.parseval(0.01 * scale),
    )
    return method, training.adam(training.cosine(0.01 * scale, 2))


def test_trainings_that_differ_in_numbers_share_one_compiled_program() -> None:
    before, models = program.advance._cache_size(), []
    for scale in (1.0, 0.5):
        method, optimizer = varied(scale)
        network = networks.mlp(CLASSES, widths=(3,))
        models.append(fit(System(network, method), optimizer=optimizer, num_steps=2, augment=random_crop(1)))
    assert program.advance._cache_size() == before + 1
    assert np.any(models[0].variables.params["dense0"]["kernel"] != models[1].variables.params["dense0"]["kernel"])


class shrink(Method):
    """A method of somebody's own: the parameters are scaled after every update."""

    factor: float = values.number(0.5)

    def project(self, params: dict) -> dict:
        return {**params, "w": self.factor * params["w"]}


def test_a_method_defined_elsewhere_trains_alone_and_in_a_chain() -> None:
    free, shrunk = fit(PLAIN, num_steps=1), fit(System(NETWORK, shrink(0.25)), num_steps=1)
    np.testing.assert_allclose(shrunk.variables.params["w"], 0.25 * free.variables.params["w"], rtol=1e-6)
    twice = fit(System(NETWORK, methods.chain(shrink(0.5), shrink(0.5))), num_steps=1)
    np.testing.assert_allclose(twice.variables.params["w"], shrunk.variables.params["w"], rtol=1e-6)


def test_what_a_method_trains_beside_the_network_is_added_by_fit() -> None:
    model = fit(System(networks.mlp(CLASSES, widths=(3,)), methods.l2_nonexpansive()), num_steps=2)
    assert set(model.variables.params) == {"network", "scales"}
    assert np.any(model.variables.params["scales"]["u"] != 1.0)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1, got 0"),
        ({"batch_size": 25}, "batch_size must be at most the 24 examples, got 25"),
        (
            {"log_every": 30, "steps_per_dispatch": 4},
            "log_every must be a multiple of steps_per_dispatch, got 30 and 4",
        ),
        ({"log_every": 30}, "checkpoint_every must be a multiple of log_every, got 500 and 30"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(PLAIN, **{"num_steps": 5, **numbers})


# --- run directories ---


def kill_at(last: int):
    def log(step: int, terms: dict) -> None:
        if step == last:
            raise KeyboardInterrupt

    return log


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Model, Path]]:
    path = tmp_path_factory.mktemp("uninterrupted")
    with records.open_run(path, {}) as run:
        yield fit(PLAIN, num_steps=14, log_every=2, checkpoint_every=4, run=run), path


@pytest.mark.parametrize("kills", [(2,), (4,), (6, 10), (14,)])
def test_an_interrupted_run_continues_to_the_same_bits_and_metrics(
    tmp_path: Path, uninterrupted: tuple[Model, Path], kills: tuple[int, ...]
) -> None:
    again = partial(fit, PLAIN, num_steps=14, log_every=2, checkpoint_every=4)
    for last in kills:
        with records.open_run(tmp_path, {}) as run, pytest.raises(KeyboardInterrupt):
            again(run=run, log=kill_at(last))
    with records.open_run(tmp_path, {}) as run:
        model = again(run=run)
    assert_same_bits(model, uninterrupted[0])
    assert records.read_metrics(tmp_path) == records.read_metrics(uninterrupted[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_is_asked_to_stop_keeps_the_step_that_it_reached(
    uninterrupted: tuple[Model, Path], tmp_path: Path, number: signal.Signals
) -> None:
    model, path = uninterrupted
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(number)

    def ask(step: int, metrics: dict) -> None:
        if step == 6:
            os.kill(os.getpid(), number)

    with records.open_run(tmp_path, {}) as run, pytest.raises(training.Stopped) as stopped:
        fit(PLAIN, run=run, log=ask, num_steps=14, log_every=2, checkpoint_every=4)
    assert stopped.value.signal_number == number
    assert signal.getsignal(number) is before
    with records.open_run(tmp_path, {}) as run:
        assert int(run.restore(training.init(jax.random.key(0), NETWORK, SHAPE, SGD)).step) in (6, 8, 10)
        assert_same_bits(fit(PLAIN, run=run, num_steps=14, log_every=2, checkpoint_every=4), model)
    assert records.read_metrics(tmp_path) == records.read_metrics(path)


def test_a_finished_run_is_not_trained_again(uninterrupted: tuple[Model, Path], tmp_path: Path) -> None:
    with records.open_run(tmp_path, {}) as run:
        fit(PLAIN, num_steps=4, log_every=2, checkpoint_every=4, run=run)
    steps: list[int] = []
    with records.open_run(tmp_path, {}) as run:
        fit(PLAIN, num_steps=4, log_every=2, checkpoint_every=4, run=run, log=lambda step, _: steps.append(step))
    assert steps == []


def poison(after: int) -> Method:
    """Becomes NaN in the step after `after` updates, in the term `poison`."""
    return hooked(
        penalize=lambda key, model, batch, output: {
            "poison": jnp.where(model.variables.params["count"] >= after, jnp.nan, 0.0)
        },
        project=counted,
    )


@pytest.mark.parametrize("steps_per_dispatch", [1, 3])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_term(tmp_path: Path, steps_per_dispatch: int) -> None:
    system = System(NETWORK, poison(after=7))
    with records.open_run(tmp_path, {}) as run:
        with pytest.raises(training.NonFiniteLoss, match=r"poison is not finite at step 8$") as caught:
            fit(
                system,
                num_steps=12,
                log_every=3,
                checkpoint_every=3,
                steps_per_dispatch=steps_per_dispatch,
                run=run,
            )
        assert (caught.value.step, caught.value.term) == (8, "poison")
        kept = run.restore(training.init(jax.random.key(0), NETWORK, SHAPE, SGD))
    assert (int(kept.step), float(kept.variables.params["count"])) == (6, 6.0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(kept.variables))


def test_variables_that_are_not_finite_never_become_a_checkpoint(tmp_path: Path) -> None:
    def burst(params: dict) -> dict:
        params = counted(params)
        return {**params, "w": jnp.where(params["count"] >= 4, jnp.inf, params["w"])}

    with records.open_run(tmp_path, {}) as run:
        with pytest.raises(training.NonFiniteLoss, match=r"variables is not finite at step 4$"):
            fit(System(NETWORK, hooked(project=burst)), num_steps=4, log_every=2, checkpoint_every=2, run=run)
        kept = run.restore(training.init(jax.random.key(0), NETWORK, SHAPE, SGD))
    assert int(kept.step) == 2


def test_a_progress_bar_is_shown_only_when_asked_or_on_a_terminal(capsys: pytest.CaptureFixture) -> None:
    fit(PLAIN, num_steps=2)
    assert capsys.readouterr().err == ""
    fit(PLAIN, num_steps=2, progress=True)
    assert "2/2" in capsys.readouterr().err
