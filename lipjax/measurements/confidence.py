"""How sure a model is, and how large: what alpha is compared with as a predictor of robustness."""

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from lipjax import estimators, evaluation, parallel
from lipjax.batching import example_keys, in_chunks
from lipjax.losses import cross_entropy, margin
from lipjax.measurements.measurement import Measurement
from lipjax.types import Batch, Dataset, KeyArray, Model, Params, pixels, single
from lipjax.values import count

if TYPE_CHECKING:
    import xarray


class confidence(Measurement):
    """Likelihoods, margins, entropies, probabilities, and the size of the weights.

    Attributes:
        num_points: How many training points, the first ones, gradients are taken at.

    Returns:
        On test examples `negative_log_likelihood`, `margin` (of logits), `entropy` (of the predicted distribution, in
        nats) and `probability` (the largest one), each `[example]`; `train_loss [train_example]`, the cross-entropy;
        `jacobian_norm [point]` of the logits, l2 to l2, at training points; `boundary_distance [point]`, the margin
        there over the l2 norm of its gradient (how far the boundary of the linearised margin is), negative where the
        prediction is wrong; `log_product_of_norms`, the sum of the logarithms of the spectral norms of all matrices
        (convolutions unfolded); `distance_from_start`, the Euclidean length of what training changed of the kernels
        that are applied. The last two are NaN for classifiers that are no `Model`, or without a start.

    References:
        Jiang et al. 2020, "Fantastic Generalization Measures and Where to Find Them" (arXiv 1912.02178), for the last
        two; expected calibration error, in `summary`, is that of Guo et al. 2017 (arXiv 1706.04599).

    Examples:
        >>> confidence(num_points=10)
        confidence(num_points=10)
    """

    num_points: int = count(100)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        import xarray

        test, train = _of_batch(model, dataset.test), _of_batch(model, dataset.train)
        points, labels = (part[: self.num_points] for part in dataset.train)
        points, mesh = pixels(points), parallel.current()
        answers: dict[str, Any] = {name: ("example", column) for name, column in test.items()}
        answers["train_loss"] = ("train_example", train["negative_log_likelihood"])
        answers["jacobian_norm"] = ("point", np.asarray(_jacobian_norms(key, single(model), points, mesh)))
        distances = _distances(single(model), points, jnp.asarray(labels), mesh)
        answers["boundary_distance"] = ("point", np.asarray(distances))
        return xarray.Dataset(answers | _of_weights(model))

    def cost(self, dataset: Dataset) -> float:
        return len(dataset.test.labels) + len(dataset.train.labels) + 200 * self.num_points


def _of_batch(model: Any, batch: Batch) -> dict[str, np.ndarray]:
    logits = jnp.asarray(evaluation.logits(model, batch))
    of_examples = jax.jit(jax.vmap(_of_example))(logits, jnp.asarray(batch.labels))
    return {name: np.asarray(column) for name, column in of_examples.items()}


def _of_example(logits: Float[Array, " classes"], label: Array) -> dict[str, Array]:
    log_probabilities = jax.nn.log_softmax(logits)
    probabilities = jnp.exp(log_probabilities)
    return {
        "negative_log_likelihood": cross_entropy(logits, label),
        "margin": margin(logits, label),
        "entropy": -jnp.sum(jnp.where(probabilities > 0.0, probabilities * log_probabilities, 0.0)),
        "probability": jnp.max(probabilities),
    }


@partial(jax.jit, static_argnames="mesh")
def _jacobian_norms(
    key: KeyArray, f: Any, points: Float[Array, "points ..."], mesh: Mesh | None
) -> Float[Array, " points"]:
    estimator = estimators.jacobian_norm(num_restarts=1)
    of_points = in_chunks(lambda own, x: estimator(own, f, x).value, chunk_size=50)
    return parallel.shared_out(of_points, mesh)(example_keys(key, len(points)), points)


@partial(jax.jit, static_argnames="mesh")
def _distances(f: Any, points: Float[Array, "points ..."], labels: Array, mesh: Mesh | None) -> Float[Array, " points"]:
    def distance(x: Array, label: Array) -> Array:
        value, gradient = jax.value_and_grad(lambda point: margin(f(point), label))(x)
        return value / jnp.linalg.norm(gradient)

    return parallel.shared_out(in_chunks(distance, 50), mesh)(points, labels)


def _of_weights(model: Any) -> dict[str, float]:
    if not isinstance(model, Model):
        return {"log_product_of_norms": np.nan, "distance_from_start": np.nan}
    norms = [np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) for kernel in _kernels(model.variables.params)]
    distance = np.nan if model.start is None else _length(model.variables.params, model.start)
    return {"log_product_of_norms": float(np.sum(np.log(norms))), "distance_from_start": distance}


def _kernels(params: Params) -> list[np.ndarray]:
    return [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(params) if leaf.ndim > 1]


def _length(params: Params, start: Params) -> float:
    changes = jax.tree.map(lambda now, then: np.sum(np.square(np.asarray(now, np.float64) - then)), params, start)
    return float(np.sqrt(sum(jax.tree.leaves(changes))))
