"""Linear classifiers without biases, for which the methods' terms have closed forms."""

import jax.numpy as jnp
from jaxtyping import Array

from lipjax.networks import from_functions
from lipjax.types import Model, Output, Variables


def linear(matrix: Array) -> Model:
    """The model with logits `x @ matrix`; its parameters are the matrix."""

    def apply(variables: Variables, inputs: Array, *, train: bool) -> tuple[Output, dict]:
        return Output(inputs @ variables.params, {}), {}

    return Model(from_functions(lambda key, shape: Variables(matrix, {}), apply), Variables(matrix, {}))


def two_classes(weights: Array) -> Array:
    """The matrix whose first logit is `<x, weights>` above the second."""
    return jnp.stack([weights, jnp.zeros_like(weights)], axis=1)
