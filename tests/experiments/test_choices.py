import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from experiments.choices import Choice, SystemFlags, TrainingFlags

from experiments import choices, cli
from lipjax import networks, norms, records, systems
from lipjax.types import Batch, Dataset, Model

TOY = choices.dataset(choices.DataFlags(dataset="toy"))


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("vanilla", Choice("vanilla", {})),
        (" V ", Choice("V", {})),
        ("mlp()", Choice("mlp", {})),
        ("mlp(widths=(8, 16))", Choice("mlp", {"widths": (8, 16)})),
        ("mlp(widths=[8])", Choice("mlp", {"widths": (8,)})),
        ("a(x=-1.5e-3, y=8/255, z=None)", Choice("a", {"x": -1.5e-3, "y": 8 / 255, "z": None})),
        ("a(norm=l2, dtype='bfloat16', on=True)", Choice("a", {"norm": "l2", "dtype": "bfloat16", "on": True})),
    ],
)
def test_a_choice_is_a_name_with_options(text: str, choice: Choice) -> None:
    assert choices.parse(text) == [choice]


def test_choices_are_joined_by_plus_signs() -> None:
    names = [choice.name for choice in choices.parse("P + laplacian(weight=1e-3) + PGD(radius=1/255)")]
    assert names == ["P", "laplacian", "PGD"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two words",
        "a(",
        "a(1)",
        "a-b",
        "3",
        "a.b",
        "a(x=b(c=1))",
        "a(x=1/0)",
        "a(x=-'b')",
        "a(**{})",
        "a(x=__import__('os'))",
    ],
)
def test_what_is_no_choice_is_refused_and_never_evaluated(text: str) -> None:
    with pytest.raises(cli.UsageError, match="is not of the form name"):
        choices.parse(text)


def test_words_become_objects() -> None:
    attack = choices.choose(Choice("adversarial", {"norm": "l2", "radius": 0.5}), choices.SYSTEMS)
    assert attack.keywords == {"norm": norms.l2, "radius": 0.5}
    network = choices.choose(Choice("mlp", {"dtype": "bfloat16"}), choices.NETWORKS)
    assert network.keywords == {"dtype": jnp.bfloat16}


def test_unknown_names_options_and_words_are_told_with_the_legal_ones() -> None:
    with pytest.raises(cli.UsageError, match=r"'gru' is none of cnn, l2_nonexpansive, mlp"):
        choices.choose(Choice("gru", {}), choices.NETWORKS)
    with pytest.raises(cli.UsageError, match=r"has no option 'beta'; it has weight, gamma, power, num_neighbors"):
        choices.choose(Choice("laplacian", {"beta": 1}), choices.SYSTEMS)
    with pytest.raises(cli.UsageError, match=r"vanilla has no option 'beta'; it has none"):
        choices.choose(Choice("vanilla", {"beta": 1}), choices.SYSTEMS)
    with pytest.raises(cli.UsageError, match=r"norm='l3' is none of l1, l2, linf"):
        choices.choose(Choice("adversarial", {"norm": "l3"}), choices.SYSTEMS)
    with pytest.raises(cli.UsageError, match=r"norm=\(1, 2\) is none of"):
        choices.choose(Choice("adversarial", {"norm": (1, 2)}), choices.SYSTEMS)


def shapes(flags: SystemFlags) -> list:
    """Shapes of the parameters that the flags make for colour images."""
    images = Batch(np.zeros((2, 32, 32, 3), np.float32), np.zeros(2, np.int32))
    network = choices.system(flags, Dataset("black", images, images, 3)).network
    return jax.tree.leaves(jax.eval_shape(lambda: network.init(jax.random.key(0), (32, 32, 3))))


@pytest.mark.parametrize("name", choices.NETWORKS)
def test_every_network_of_the_table_is_built(name: str) -> None:
    assert shapes(SystemFlags(network=name))


@pytest.mark.parametrize("name", choices.SYSTEMS)
def test_every_system_of_the_table_is_built(name: str) -> None:
    assert shapes(SystemFlags(network="mlp(widths=(5,))", system=name))


def test_the_abbreviations_of_the_talk_are_names_too() -> None:
    for name, full in {"V": "vanilla", "P": "parseval", "L2NN": "l2_nonexpansive", "L": "laplacian"}.items():
        assert choices.SYSTEMS[name] is choices.SYSTEMS[full]
    assert choices.SYSTEMS["PGD"] is systems.adversarial


def test_networks_standardise_with_the_statistics_of_the_training_images() -> None:
    inputs = np.stack([np.full((4, 4, 2), (0.1, 0.5)), np.full((4, 4, 2), (0.3, 0.9))]).astype(np.float32)
    batch = Batch(inputs, np.array([0, 1]))
    dataset = Dataset("two", batch, batch, 2)
    network = choices.system(SystemFlags(network="mlp(widths=(5,))"), dataset).network
    wanted = networks.mlp(2, widths=(5,), mean=(0.2, 0.7), std=(0.1, 0.2))
    variables = wanted.init(jax.random.key(0), (4, 4, 2))
    x = jax.random.uniform(jax.random.key(1), (3, 4, 4, 2))
    logits = [net.apply(variables, x, train=False)[0].logits for net in (network, wanted)]
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)


def reach(text: str) -> float:
    """The largest input that adversarial training of the toy example makes."""
    system = choices.system(SystemFlags(network="mlp(widths=(4,))", system=text), TOY)
    model = Model(system.network, system.network.init(jax.random.key(0), TOY.input_shape))
    batch = Batch(jnp.asarray(TOY.train.inputs), jnp.asarray(TOY.train.labels))
    return float(jnp.max(jnp.abs(system.method.perturb(jax.random.key(1), model, batch).inputs)))


def test_adversarial_examples_stay_in_the_bounds_of_the_dataset_unless_told() -> None:
    assert reach("PGD(radius=5, num_steps=2)") <= 2.0 < reach("PGD(radius=5, num_steps=2, bounds=None)")


def test_equal_flags_give_the_same_objects() -> None:
    flags = SystemFlags(network="mlp(widths=(4,))", system="parseval+laplacian")
    assert choices.system(flags, TOY) is choices.system(SystemFlags(**vars(flags)), TOY)
    assert choices.optimizer(TrainingFlags(seed=1)) is choices.optimizer(TrainingFlags(seed=2))
    assert choices.augment("random_crop") is choices.augment("random_crop")


def learning_rates(schedule: str, steps: list[int]) -> list[float]:
    """Of a parameter with gradient 1, by plain gradient descent."""
    optimizer = choices.optimizer(
        TrainingFlags(schedule=schedule, learning_rate=0.8, num_steps=100, optimizer="sgd(momentum=0, weight_decay=0)")
    )
    param, state, rates = jnp.array(0.0), optimizer.init(jnp.array(0.0)), []
    for _ in range(100):
        update, state = optimizer.update(jnp.array(1.0), state, param)
        rates.append(-float(update))
    return [rates[step] for step in steps]


def test_schedules_are_those_of_their_names() -> None:
    assert learning_rates("constant", [0, 99]) == pytest.approx([0.8, 0.8])
    assert learning_rates("cosine", [0, 50]) == pytest.approx([0.8, 0.4])
    assert learning_rates("cosine(warmup=0.1)", [0, 5, 10]) == pytest.approx([0.0, 0.4, 0.8])
    assert learning_rates("drops", [0, 49, 50]) == pytest.approx([0.8, 0.8, 0.008])
    assert learning_rates("drops(at=(0.2, 0.4), factor=0.5)", [19, 20, 40]) == pytest.approx([0.8, 0.4, 0.2])


def test_weight_decay_is_a_gradient_that_momentum_sees() -> None:
    flags = TrainingFlags(
        optimizer="sgd(momentum=0.5, weight_decay=0.1)", schedule="constant", learning_rate=1.0, num_steps=5
    )
    optimizer = choices.optimizer(flags)
    weight, velocity = 2.0, 0.0
    param, state = jnp.array(2.0), optimizer.init(jnp.array(2.0))
    for _ in range(3):
        update, state = optimizer.update(jnp.array(0.3), state, param)
        param = optax.apply_updates(param, update)
        velocity = 0.5 * velocity + 0.3 + 0.1 * weight
        weight -= velocity
    assert float(param) == pytest.approx(weight)


def test_augmentations_are_joined_in_their_order(key: jax.Array) -> None:
    assert choices.augment("none") is None
    augment = choices.augment("random_crop(padding=1)+flip_left_right")
    assert augment is not None
    assert augment(key, jnp.ones((5, 5, 1))).shape == (5, 5, 1)


def test_a_description_has_every_option_and_is_json() -> None:
    described = choices.described("parseval+adversarial(norm=l2)", choices.SYSTEMS)
    assert [part["name"] for part in described] == ["parseval", "adversarial"]
    assert described[0]["beta"] == 0.01
    assert described[1]["norm"] == "l2"
    assert described[1]["num_steps"] == 10
    records.to_json(described)


def test_fewer_examples_are_taken_where_asked() -> None:
    small = choices.dataset(choices.DataFlags(num_train=20, num_test=10))
    assert (len(small.train.labels), len(small.test.labels)) == (20, 10)
