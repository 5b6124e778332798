"""What every value of training promises: methods with optimisers, schedules, augmentations, layers, networks, rows."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import augmentation, layers, methods, networks, norms, systems, training, values
from lipjax.types import Batch, Method, Network

SHAPE = (4, 4, 1)
KEY = jax.random.key(0)
NETWORK = networks.mlp(3, widths=(6, 5), layers=layers.parseval)
IMAGES = jax.random.uniform(jax.random.key(1), (5, *SHAPE))
BATCH = Batch(IMAGES, jnp.arange(5) % 3)
PARAMS = {"kernel": jnp.array([[0.5, -2.0]]), "bias": jnp.array([0.3, 0.1])}
GRADIENTS = jax.tree.map(jnp.cos, PARAMS)
ADAM = training.adam(training.cosine(0.01, 10))


class Row(NamedTuple):
    """A value, or a tuple of values, and what it makes: arrays that depend on all its numbers."""

    value: Any
    use: Callable[[Any], Any]


def step(pair: tuple[Method, training.Optimizer], network: Network = NETWORK) -> Any:
    """Two steps of a training by a method and an optimiser."""
    method, optimizer = pair
    network = method.extend(network)
    state = training.init(KEY, network, SHAPE, optimizer)
    update = training.make_step(network, method, optimizer)
    state, _ = update(KEY, state, BATCH)
    state, metrics = update(KEY, state, BATCH)
    return state.variables, metrics


def two_updates(optimizer: training.Optimizer) -> Any:
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(2):
        updates, state = optimizer.update(GRADIENTS, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return params


def logits(network: Network) -> Any:
    return network.apply(network.init(KEY, (8, 8, 1)), jnp.ones((1, 8, 8, 1)), train=False)[0].logits


L2 = norms.l2.ball(0.3)
METHODS = {
    "adversarial": methods.adversarial(L2, step_size=0.05, num_steps=1),
    "adversarial_batch": methods.adversarial(norms.linf.ball(0.1), num_steps=1, batch_statistics=True),
    "fast_adversarial": methods.fast_adversarial(L2),
    "trades": methods.trades(L2, step_size=0.35, num_steps=1),
    "local_linearity": methods.local_linearity(L2, step_size=0.1, num_steps=1),
    "local_slope": methods.local_slope(L2, weight=0.1, alpha=0.1, num_steps=1),
    "gaussian": methods.gaussian(0.5),
    "mixup": methods.mixup(0.4),
    "label_smoothing": methods.label_smoothing(0.2),
    "input_gradient": methods.input_gradient(),
    "jacobian": methods.jacobian(1.0),
    "laplacian": methods.laplacian(0.1),
    "laplacian_gamma": methods.laplacian(gamma=0.3, num_neighbors=2),
    "l2_nonexpansive": methods.l2_nonexpansive(),
    "offset": methods.offset(),
    "parseval": methods.parseval(0.1),
    "parseval_rows": methods.parseval(0.1, row_fraction=0.3, hidden_only=True),
    "chain": methods.chain(methods.parseval(0.1), methods.laplacian(0.1), methods.gaussian(0.2)),
}
OPTIMIZERS = {
    "adam": training.adam(training.cosine(0.1, 4, warmup=0.25)),
    "adamw": training.adamw(0.1, weight_decay=0.1),
    "sgd": training.sgd(training.drops(0.1, 2, factor=0.5), nesterov=True),
}
SCHEDULES = {
    "constant": training.constant(0.1),
    "cosine": training.cosine(0.1, 10, warmup=0.2),
    "drops": training.drops(0.1, 10, at=(0.2,)),
}
AUGMENTATIONS = {
    "random_crop": augmentation.random_crop(1),
    "flip_left_right": augmentation.flip_left_right(),
    "chain": augmentation.chain(augmentation.random_crop(1), augmentation.flip_left_right()),
}
NETWORKS = {
    "mlp": NETWORK,
    "cnn": networks.cnn(3, channels=(2,), widths=(3,)),
    "preact_resnet": networks.preact_resnet(3, width=1),
    "wide_resnet": networks.wide_resnet(3, 10, 1),
    "per_class": networks.per_class(2, trunk_stages=((2,),), trunk_widths=(), head_widths=(2,), crop=6),
    "with_scales": methods.with_scales(networks.mlp(2, widths=(3,))),
}
ROWS = {
    **{f"method {name}": Row((method, ADAM), step) for name, method in METHODS.items()},
    **{f"optimizer {name}": Row(each, two_updates) for name, each in OPTIMIZERS.items()},
    **{f"schedule {name}": Row(each, lambda schedule: schedule(jnp.array(3))) for name, each in SCHEDULES.items()},
    **{
        f"augmentation {name}": Row(each, lambda augment: augment(KEY, IMAGES[0]))
        for name, each in AUGMENTATIONS.items()
    },
    **{f"network {name}": Row(each, logits) for name, each in NETWORKS.items()},
    **{
        f"layers {name}": Row(each, lambda kind: logits(networks.cnn(2, channels=(2,), widths=(), layers=kind)))
        for name, each in layers.NAMES.items()
    },
    **{
        f"row {name}": Row(each, lambda row: row(NETWORK).method.project(PARAMS)) for name, each in systems.ROWS.items()
    },
}
each_row = pytest.mark.parametrize("name", ROWS)
with_numbers = pytest.mark.parametrize(
    "name", [name for name, row in ROWS.items() if jax.tree.leaves(row.value) and "row " not in name]
)


def halved(value: Any) -> Any:
    """The value with half of each number."""
    return jax.tree.map(lambda number: number / 2, value)


@functools.cache
def program(name: str) -> Callable[[Any], Any]:
    def use(value: Any) -> Any:
        return ROWS[name].use(value)

    use.__name__ = name  # by which chex tells functions apart
    return jax.jit(chex.assert_max_traces(use, n=1))


@each_row
def test_settings_make_equality_text_and_json(name: str) -> None:
    value = ROWS[name].value
    again = values.from_json(values.to_json(value))
    assert again == value
    assert (hash(again), repr(again)) == (hash(value), repr(value))
    if jax.tree.leaves(value):
        assert halved(value) != value
        assert repr(halved(value)) != repr(value)


@each_row
def test_a_value_read_back_and_other_numbers_are_not_traced_again(name: str) -> None:
    value, run = ROWS[name].value, program(name)
    first = run(value)
    chex.assert_trees_all_equal(run(values.from_json(values.to_json(value))), first)
    run(halved(value))


@with_numbers
def test_every_number_counts(name: str) -> None:
    value, run = ROWS[name].value, program(name)
    leaves, tree = jax.tree_util.tree_flatten_with_path(value)
    for path, leaf in leaves:
        if path[-1].name == "gamma" and name in ("method laplacian", "method chain"):
            continue  # it stands for the weight where that is not given
        changed = tree.unflatten([leaf / 2 if each is path else number for each, number in leaves])
        pairs = zip(jax.tree.leaves(run(changed)), jax.tree.leaves(run(value)), strict=True)
        assert any(np.any(a != b) for a, b in pairs), path


@with_numbers
def test_stacked_numbers_under_vmap_are_one_by_one(name: str) -> None:
    value = ROWS[name].value
    together = jax.jit(jax.vmap(ROWS[name].use))(values.stack(value, halved(value)))
    for index, each in enumerate((value, halved(value))):
        part = jax.tree.map(lambda leaf, index=index: leaf[index], together)
        # TRADES climbs a divergence from next to its minimum, where gradients are differences of nearly equal numbers.
        chex.assert_trees_all_close(part, program(name)(each), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("package", "role", "table"),
    [
        (methods, Method, METHODS),
        (training, training.Optimizer, OPTIMIZERS),
        (training, training.Schedule, SCHEDULES),
        (augmentation, augmentation.Augment, AUGMENTATIONS),
        (networks, Network, {**NETWORKS, "linen": None, "from_functions": None}),
    ],
)
def test_every_public_value_has_a_row(package: Any, role: type, table: dict[str, Any]) -> None:
    public = {name for name, thing in vars(package).items() if inspect.isclass(thing) and issubclass(thing, role)}
    missing = public - {role.__name__, "Chain"} - table.keys()
    assert not missing
