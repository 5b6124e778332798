"""Levels become the pixels that datasets give, to the bit; models are pytrees."""

import jax
import jax.numpy as jnp
import numpy as np

from lipjax.networks import from_functions
from lipjax.types import Model, Output, Variables, pixels


def test_levels_become_correctly_rounded_pixels_also_under_jit() -> None:
    levels = np.arange(256, dtype=np.uint8)
    expected = (levels / 255.0).astype(np.float32)
    np.testing.assert_array_equal(pixels(levels), expected)
    np.testing.assert_array_equal(jax.jit(pixels)(levels), expected)


def test_floats_are_pixels_already() -> None:
    inputs = jnp.array([0.0, 0.3, 1.0])
    assert pixels(inputs) is inputs


def test_a_model_goes_through_jit_and_its_single_example_is_a_row_of_its_batch() -> None:
    network = from_functions(
        lambda key, shape: Variables({}, {}),
        lambda variables, inputs, *, train: (Output(inputs * variables.params["scale"], {}), {}),
    )
    model = Model(network, Variables({"scale": jnp.array(2.0)}, {}))
    inputs = jnp.arange(6.0).reshape(3, 2)
    logits = jax.jit(lambda model, inputs: model(inputs)[0].logits)(model, inputs)
    np.testing.assert_array_equal(logits, 2 * inputs)
    np.testing.assert_array_equal(jax.jit(Model.single)(model, inputs[1]), logits[1])
    assert len(jax.tree.leaves(model)) == 1
