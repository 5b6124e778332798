"""Wrong hyper-parameters raise ValueError with the name and the value; right ones and traced ones pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import augmentation, checks, compatibility, corruptions, evaluation, norms, training
from lipjax.types import Batch

KEY, IMAGES = jax.random.key(0), np.full((2, 8, 8, 1), 9.0, np.float32)

WRONG = {
    "positive_zero": (lambda: checks.positive(radius=0.0), "radius must be positive, got 0.0"),
    "positive_nan": (lambda: checks.positive(radius=float("nan")), "radius must be positive, got nan"),
    "positive_one_of_several": (lambda: checks.positive(a=1, b=-2), "b must be positive, got -2"),
    "positive_array": (lambda: checks.positive(radii=np.array([1, 0])), "radii must be positive"),
    "positive_jax_array": (lambda: checks.positive(radii=jnp.array([1.0, -1.0])), "radii must be positive"),
    "not_negative": (lambda: checks.not_negative(step_size=-1), "step_size must be 0 or greater, got -1"),
    "not_negative_nan": (lambda: checks.not_negative(step_size=float("nan")), "step_size must be 0 or greater"),
    "at_least": (lambda: checks.at_least(2, num=1), "num must be a whole number of at least 2, got 1"),
    "fraction_above": (lambda: checks.fraction(share=1.5), "share must be between 0 and 1, got 1.5"),
    "fraction_below": (lambda: checks.fraction(share=-0.5), "share must be between 0 and 1, got -0.5"),
    "fraction_nan": (lambda: checks.fraction(share=float("nan")), "share must be between 0 and 1, got nan"),
    "probability_one": (lambda: checks.probability(failure=1.0), "failure must be above 0 and below 1, got 1.0"),
    "probability_nan": (lambda: checks.probability(failure=float("nan")), "failure must be above 0 and below 1"),
    "negative_label": (lambda: checks.examples([0.5], [-1]), "labels must be whole numbers from 0, got int64 from -1"),
    "float_label": (
        lambda: evaluation.accuracy(jnp.ravel, Batch(IMAGES, np.array([0.0, 1.0]))),
        "labels must be whole numbers from 0, got float64",
    ),
    "momentum_one": (lambda: training.sgd(momentum=1.0), "momentum must be at least 0 and below 1, got 1.0"),
    "padding": (
        lambda: augmentation.random_crop(9)(KEY, jnp.zeros((8, 8, 1))),
        "padding must be at most the image's size",
    ),
    "thresholds_nan": (
        lambda: compatibility.pair_distances(IMAGES / 9, np.array([0, 1]), norms.l2, thresholds=[np.nan]),
        "thresholds must be 0 or greater",
    ),
    "levels_as_floats": (lambda: corruptions.corrupt(KEY, IMAGES, "fog", 1), "images must be within box"),
    "one_of": (lambda: checks.one_of("mode", "c", ("a", "b")), "mode must be one of a, b; got 'c'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_name(name):
    check, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        check()


def test_values_at_the_limit_pass():
    checks.positive(a=1e-30, b=np.array([1.0, 2.0]), c=jnp.array(3.0))
    checks.not_negative(a=0, b=0.0, c=np.inf)
    checks.at_least(2, a=2, b=np.int64(5))
    checks.fraction(a=0, b=1.0, c=np.array([0.0, 0.5]))
    checks.probability(a=1e-9, b=0.5)
    checks.one_of("mode", "a", ["a"])


def test_a_traced_value_passes_unchecked():
    @jax.jit
    def build(radius):
        checks.positive(radius=radius)
        checks.not_negative(radius=radius)
        checks.fraction(radius=radius)
        return radius

    assert build(-1.0) == -1.0
