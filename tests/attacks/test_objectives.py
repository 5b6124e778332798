"""What attacks climb."""

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import attacks, losses
from lipjax.attacks.objectives import margin_to

LOGITS = jnp.array([1.0, 4.0, 2.0, 3.0])


def identity(x):
    return x


def test_evasion_is_the_loss_until_the_classifier_is_wrong_and_then_infinite():
    for loss in (losses.cross_entropy, losses.dlr):
        right, wrong = (attacks.evasion(identity, label, loss) for label in (1, 0))
        np.testing.assert_allclose(right(LOGITS), loss(LOGITS, 1), rtol=1e-6)
        np.testing.assert_allclose(jax.grad(right)(LOGITS), jax.grad(loss)(LOGITS, 1), rtol=1e-6)
        assert wrong(LOGITS) == jnp.inf
        np.testing.assert_array_equal(jax.grad(wrong)(LOGITS), np.zeros(4))


def test_margins_are_the_other_logits_minus_the_labels_for_any_label():
    for label in range(4):
        margins = jax.jit(lambda label: attacks.margins(identity, label)(LOGITS))(label)
        np.testing.assert_allclose(sorted(margins), sorted(np.delete(LOGITS, label) - LOGITS[label]))
        assert (jnp.max(margins) < 0) == (label == 1)


def test_the_margin_to_a_target_is_one_of_the_margins():
    assert margin_to(identity, 1, 3)(LOGITS) == -1.0
