"""The text form of values: what is written becomes the value, and back; what is wrong is told by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import cli, flags, language
from experiments.language import Choice, build
from lipjax import attacks, layers, norms, systems
from lipjax.types import Attack, Batch, Dataset, Estimator
from lipjax.values import Value, from_json, to_json

ATTACKS, ESTIMATORS = language.ROLES[Attack], language.ROLES[Estimator]


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
        ("a(x=b(c=1))", Choice("a", {"x": Choice("b", {"c": 1})})),
        ("my.package:mine(x=1)", Choice("my.package:mine", {"x": 1})),
    ],
)
def test_a_choice_is_a_name_with_settings(text: str, choice: Choice) -> None:
    assert language.parse(text) == [choice]


def test_choices_are_joined_by_plus_signs() -> None:
    names = [choice.name for choice in language.parse("P + laplacian(weight=1e-3) + PGD(radius=1/255)")]
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
        "a(x=1/0)",
        "a(x=-'b')",
        "a(**{})",
        "a(x=b.c)",
        "a(x=(lambda: 1)())",
        "os:system('true')",
        "(" * 10_000,
    ],
)
def test_what_is_no_choice_is_refused_and_never_evaluated(text: str) -> None:
    with pytest.raises(cli.UsageError, match="is not of the form name"):
        language.parse(text)


def test_a_setting_may_be_that_of_a_value_inside() -> None:
    assert build("pgd(norm=l2, radius=1/2)", ATTACKS) == attacks.pgd(norms.l2.ball(0.5))
    row = build("adversarial(norm=l2, radius=0.5, num_steps=7)", systems.ROWS)
    assert (row.method.ball, row.method.num_steps) == (norms.l2.ball(0.5), 7)
    assert build("P(layers=parseval_lassance)", systems.ROWS).layers == layers.parseval_lassance


def test_what_the_program_gives_is_taken_where_it_fits_and_words_go_first() -> None:
    assert build("pgd", ATTACKS, ball=norms.l1.ball(3.0)).ball == norms.l1.ball(3.0)
    assert build("pgd(radius=2)", ATTACKS, ball=norms.l1.ball(3.0)).ball == norms.l1.ball(2.0)
    assert build("ascent_slope", ESTIMATORS, ball=norms.l1.ball(3.0), nothing=1).ball == norms.l1.ball(3.0)


@pytest.mark.parametrize("text", ["pgd(num_steps=3)", "fab(overshoot=1.1)", "square(num_queries=7, radius=0.25)"])
def test_what_a_value_prints_is_its_text(text: str) -> None:
    value = build(text, language.ALL_ATTACKS)
    assert build(repr(value), language.ALL_ATTACKS) == value == from_json(to_json(value))


class strange(Attack):
    """Somebody's own attack."""

    ball: norms.Ball = norms.linf.ball(0.1)

    def __call__(self, key, objective, center):
        return center


def test_somebodys_own_is_named_by_its_module() -> None:
    value = build(f"{__name__}:strange(radius=0.5)", ATTACKS)
    assert value == strange(norms.linf.ball(0.5))
    with pytest.raises(cli.UsageError, match="import its module first"):
        build("no_such_module:attack", ATTACKS)


def test_unknown_names_settings_and_words_are_told_with_the_legal_ones() -> None:
    with pytest.raises(cli.UsageError, match=r"'gru' is none of .*cnn.*mlp"):
        build("gru", flags.NETWORKS)
    with pytest.raises(cli.UsageError, match=r"laplacian has no option 'beta'; it has .*weight, gamma, power"):
        build("laplacian(beta=1)", systems.ROWS)
    for raw, message in (("l3", "norm must be one of l1, l2, linf; got 'l3'"), ("(1, 2)", "norm takes a word")):
        with pytest.raises(cli.UsageError, match=message):
            build(f"adversarial(norm={raw})", systems.ROWS)
    with pytest.raises(cli.UsageError, match="radius must be 0 or greater, got -1"):
        build("pgd(radius=-1)", ATTACKS)
    with pytest.raises(cli.UsageError, match="num_steps takes no pgd"):
        build("pgd(num_steps=pgd(num_steps=1))", ATTACKS)


def shapes(chosen: flags.SystemFlags) -> list:
    """Shapes of the parameters that the flags make for colour images."""
    images = Batch(np.zeros((2, 32, 32, 3), np.float32), np.zeros(2, np.int32))
    network = flags.system(chosen, Dataset("black", images, images, 3)).network
    return jax.tree.leaves(jax.eval_shape(lambda: network.init(jax.random.key(0), (32, 32, 3))))


@pytest.mark.parametrize("name", flags.NETWORKS)
def test_every_network_of_the_table_is_built(name: str) -> None:
    assert shapes(flags.SystemFlags(network=name))


@pytest.mark.parametrize("name", systems.ROWS)
def test_every_system_of_the_table_is_built(name: str) -> None:
    assert shapes(flags.SystemFlags(network="mlp(widths=(5,))", system=name))


def test_augmentations_are_joined_in_their_order(key: jax.Array) -> None:
    assert flags.augment("none") is None
    augment = flags.augment("random_crop(padding=1)+flip_left_right")
    assert augment is not None
    assert augment(key, jnp.ones((5, 5, 1))).shape == (5, 5, 1)


def test_fewer_examples_are_taken_where_asked() -> None:
    small = flags.dataset(flags.DataFlags(num_train=20, num_test=10))
    assert (len(small.train.labels), len(small.test.labels)) == (20, 10)


def test_every_role_is_a_table_of_values() -> None:
    for table in language.ROLES.values():
        assert table
        assert all(isinstance(thing, Value) or issubclass(thing, Value) for thing in table.values())
