"""Laplacian training: how smooth the labels are on the graph of a batch may change only slowly from layer to layer."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.types import Batch, KeyArray, Labels, Method, Model, Output, Scalar, Terms
from lipjax.values import Number, count, number

Graph = Float[Array, "batch batch"]
Columns = Float[Array, "batch classes"]


def cosine_similarities(representation: Float[Array | np.ndarray, "batch ..."]) -> Graph:
    """Cosines of the angles between flattened representations; a representation of zeros is similar to none."""
    dtype = jnp.promote_types(representation.dtype, jnp.float32)
    flat = jnp.asarray(representation, dtype).reshape(representation.shape[0], -1)
    squares = jnp.sum(flat**2, axis=1, keepdims=True)
    is_zero = squares == 0.0
    units = jnp.where(is_zero, 0.0, flat / jnp.sqrt(jnp.where(is_zero, 1.0, squares)))
    return units @ units.T


def nearest_neighbors(graph: Graph, num_neighbors: int) -> Graph:
    """The graph without the edges that neither end counts among its `num_neighbors` largest, itself included."""
    kept_count = min(num_neighbors, len(graph))
    kept = graph >= jnp.sort(graph, axis=1)[:, -kept_count, None]
    return jnp.where(kept | kept.T, graph, 0.0)


def laplacian_smoothness(
    representation: Float[Array | np.ndarray, "batch ..."],
    labels: Labels,
    *,
    power: int = 2,
    num_neighbors: int | None = None,
    num_classes: int | None = None,
) -> Scalar:
    """How much the labels vary over the similarity graph of a batch: `sigma = trace(s^T L^m s)`.

    `L = D - M` is the Laplacian of the matrix M of cosine similarities (D its row sums, on the diagonal), and s
    the one-hot (or soft) labels `[batch, classes]`. For m = 1 this is the sum of the similarities of all ordered pairs
    of different class.

    Args:
        representation: Representations of a batch, not negative (after a ReLU); flattened per example.
        labels: Class indices, or soft labels.
        power: The power m of the Laplacian.
        num_neighbors: Keep an edge only if one of its ends has it among its so many largest similarities, of which
            the one to itself is the first; None keeps all.
        num_classes: Number of classes, above every label; None where it is not known, at the cost of batch classes.

    Returns:
        The smoothness, at least 0 up to rounding. Its gradient is finite everywhere. Costs `batch^2` times (the size of
        a representation + about half the power times the number of classes): powers of L are never formed.

    References:
        Lassance, Gripon and Ortega 2021, "Laplacian Networks" (arXiv 1805.10133). As in their code, the graph is
        not normalised by degree nor by the size of the batch.

    Examples:
        >>> representation = jnp.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
        >>> laplacian_smoothness(representation, jnp.array([0, 0, 1]), power=1)  # 2 (0.6 + 0.8)
        Array(2.8, dtype=float32)
    """
    graph = cosine_similarities(representation)
    if num_neighbors is not None:
        graph = nearest_neighbors(graph, num_neighbors)
    degrees = jnp.sum(graph, axis=1, keepdims=True)

    def times_laplacian(columns: Columns, times: int) -> Columns:
        for _ in range(times):
            columns = degrees * columns - graph @ columns
        return columns

    # L is symmetric, so s^T L^m s = (L^(m - h) s)^T (L^h s), with h half of m.
    half = times_laplacian(_indicator(labels, num_classes, graph.dtype), power // 2)
    return jnp.sum(half * times_laplacian(half, power % 2))


def _indicator(labels: Labels, num_classes: int | None, dtype: Any) -> Columns:
    if labels.ndim == 2:
        return jnp.asarray(labels, dtype)
    if num_classes is not None:
        return jax.nn.one_hot(labels, num_classes, dtype=dtype)
    first_of_class = jnp.argmax(labels[:, None] == labels, axis=1)
    return jax.nn.one_hot(first_of_class, len(labels), dtype=dtype)


class laplacian(Method):
    """Laplacian training: penalises changes of `laplacian_smoothness` from each representation to the next.

    The term is `weight / (l - 1) * sum_{i=2}^{l} |sigma_i - sigma_{i-1}|` over the l representations of the network; 0
    with fewer than two. Sigma grows with the size of the batch: the default weight is for the paper's batches of 100.

    Attributes:
        weight: Weight of the term `laplacian`; None for the paper's `gamma^m`, with m the power.
        gamma: Base of that weight. The authors' code has gamma = 0.01 and m = 2, which is a weight of 1e-4.
        power: The power m of the Laplacian.
        num_neighbors: Neighbours kept in the graphs; None for full graphs, as in the paper's experiments.

    References:
        Lassance, Gripon and Ortega 2021 (arXiv 1805.10133).

    Examples:
        >>> method = laplacian(gamma=0.02, power=3, num_neighbors=10)
    """

    weight: Number | None = number(None, checks.not_negative)
    _: dataclasses.KW_ONLY
    gamma: Number = number(0.01, checks.not_negative)
    power: int = count(2)
    num_neighbors: int | None = count(None)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""
        settings: dict[str, Any] = {
            "power": self.power,
            "num_neighbors": self.num_neighbors,
            "num_classes": output.logits.shape[-1],
        }
        sigmas = [laplacian_smoothness(each, batch.labels, **settings) for each in output.representations.values()]
        changes = [jnp.abs(after - before) for before, after in itertools.pairwise(sigmas)]
        weight = self.gamma**self.power if self.weight is None else self.weight
        return {"laplacian": sum(changes, jnp.zeros(())) * weight / max(len(changes), 1)}
