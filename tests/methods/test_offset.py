"""The loss for margins: its formula, its limit, and what it asks for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax import methods
from lipjax.methods import offset_cross_entropy

LOGITS = jnp.array([0.3, -1.0, 2.0])


def test_the_loss_is_the_cross_entropy_of_lowered_and_sharpened_logits():
    for label in range(3):
        lowered = (np.asarray(LOGITS, np.float64) - 0.7 * (np.arange(3) == label)) / 0.5
        expected = 0.5 * (np.log(np.exp(lowered).sum()) - lowered[label])
        found = offset_cross_entropy(LOGITS, label, offset=0.7, temperature=0.5)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_at_temperature_zero_it_is_what_the_lead_lacks():
    for label, expected in ((2, 0.0), (0, 2.0 - 0.3 + 0.7), (1, 3.0 + 0.7)):
        found = offset_cross_entropy(LOGITS, label, offset=0.7, temperature=1e-3)
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_without_offset_at_temperature_one_it_is_the_cross_entropy():
    expected = -jax.nn.log_softmax(LOGITS)[1]
    np.testing.assert_allclose(offset_cross_entropy(LOGITS, 1, offset=0.0, temperature=1.0), expected, rtol=1e-6)


def test_a_gradient_fades_once_the_lead_exceeds_the_offset():
    def slope(lead):
        return jax.grad(lambda z: offset_cross_entropy(jnp.array([z, 0.0]), 0, offset=1.0, temperature=0.1))(lead)

    assert slope(0.0) < -0.99
    assert slope(1.0) == pytest.approx(-0.5, abs=1e-3)
    assert abs(slope(2.0)) < 1e-3


@pytest.mark.parametrize("wrong", [{"offset": -1.0}, {"temperature": 0.0}])
def test_wrong_values_are_refused_by_the_constructor(wrong):
    with pytest.raises(ValueError, match="must be"):
        methods.offset(**wrong)
