"""What every corruption promises as a value of its settings, one row for each; and a corruption of the user's own."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from corruption_oracles import pictures

from lipjax import checks, corruptions, values
from lipjax.corruptions import corruption as roles
from lipjax.values import Number, number

IMAGES = np.stack(pictures((16, 16, 3)))
ROWS = {name: corruptions.published(name, 3, "cifar") for name in corruptions.NAMES}


@pytest.mark.parametrize("name", ROWS)
def test_settings_are_all_there_is_to_a_corruption(name):
    chosen = ROWS[name]
    again = type(chosen)(**values.settings(chosen))
    assert chosen == again
    assert hash(chosen) == hash(again)
    assert chosen != corruptions.published(name, 5, "cifar")
    assert repr(chosen).startswith(f"{name}({next(iter(values.settings(chosen)))}=")
    assert values.from_json(values.to_json(chosen)) == chosen


def test_photographs_are_settings_too():
    photos = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    frost = corruptions.frost(1.0, 0.4, scale=0.2, photos=photos)
    assert values.from_json(values.to_json(frost)) == frost != corruptions.frost(1.0, 0.4, scale=0.2)


STRONGER = {  # another number, and arrays of the same shapes
    **{name: corruptions.published(name, 4, "cifar") for name in corruptions.NAMES},
    "defocus_blur": corruptions.published("defocus_blur", 2, "cifar"),
    "glass_blur": corruptions.glass_blur(0.3, reach=1, iterations=1),
    "motion_blur": corruptions.published("motion_blur", 1, "cifar"),
    "spatter": corruptions.published("spatter", 2, "cifar"),
    "zoom_blur": corruptions.zoom_blur(1.31, step=0.02),
}


@pytest.mark.parametrize("name", ROWS)
def test_another_strength_is_not_traced_again(name, key):
    image = jnp.asarray(IMAGES[4])
    constants = [roles.constants_of(chosen, image.shape) for chosen in (ROWS[name], STRONGER[name])]
    chex.assert_trees_all_equal_shapes_and_dtypes(*constants)
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def transformed(chosen, constants):
        return chosen.transform(image, chosen.sample(key, image.shape, constants), constants)

    weak, strong = (transformed(*pair) for pair in zip((ROWS[name], STRONGER[name]), constants, strict=True))
    assert np.any(np.asarray(weak) != np.asarray(strong))


class darken(roles.Corruption):
    """Takes a share of the light away: a corruption that lipjax does not know."""

    share: Number = number(0.5, checks.fraction)

    def transform(self, image, draws, constants):
        return roles.to_levels((1.0 - self.share) * image)


def test_a_corruption_of_ones_own_goes_where_names_go(key):
    darker = corruptions.corrupt(key, IMAGES, darken(0.5))
    np.testing.assert_array_equal(darker, IMAGES // 2)
    np.testing.assert_array_equal(darken(0.5)(key, IMAGES[0]), darker[0])
    assert values.from_json(values.to_json(darken(0.25))) == darken(0.25)
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        darken(2.0)


def test_a_value_corrupts_as_its_name(key):
    by_name = corruptions.corrupt(key, IMAGES, "impulse_noise", 3, "cifar")
    np.testing.assert_array_equal(corruptions.corrupt(key, IMAGES, corruptions.impulse_noise(0.03)), by_name)
