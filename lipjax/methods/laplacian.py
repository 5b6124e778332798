"""Laplacian training: how smooth the labels are on the graph of a batch may change only slowly from layer to layer."""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lipjax import checks
from lipjax.types import Batch, KeyArray, Method, Model, Output, Scalar, Terms

Graph = Float[Array, "batch batch"]


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
    labels: Int[Array | np.ndarray, " batch"],
    *,
    power: int = 2,
    num_neighbors: int | None = None,
) -> Scalar:
    """How much the labels vary over the similarity graph of a batch: `sigma = trace(s^T L^m s)`.

    `L = D - M` is the Laplacian of the matrix M of cosine similarities (D its row sums, on the diagonal), and s
    the one-hot labels `[batch, classes]`. For m = 1 this is the sum of the similarities of all ordered pairs of
    different class.

    Args:
        representation: Representations of a batch, not negative (after a ReLU); flattened per example.
        labels: Class indices.
        power: The power m of the Laplacian.
        num_neighbors: Keep an edge only if one of its ends has it among its so many largest similarities, of which
            the one to itself is the first; None keeps all.

    Returns:
        The smoothness, at least 0. Its gradient is finite everywhere. Costs batch^2 times the size of a representation,
        and batch^3 for the power.

    References:
        Lassance, Gripon and Ortega 2021, "Laplacian Networks" (arXiv 1805.10133). As in their code, the graph is
        not normalised by degree nor by the size of the batch.

    Example:
        >>> representation = jnp.array([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
        >>> laplacian_smoothness(representation, jnp.array([0, 0, 1]), power=1)  # 2 (0.6 + 0.8)
        Array(2.8, dtype=float32)
    """
    graph = cosine_similarities(representation)
    if num_neighbors is not None:
        graph = nearest_neighbors(graph, num_neighbors)
    laplacian_matrix = jnp.diag(jnp.sum(graph, axis=1)) - graph
    # trace(s^T L^m s) = sum of (L^m)_ij over the pairs of equal class.
    same_class = labels[:, None] == labels
    return jnp.sum(jnp.linalg.matrix_power(laplacian_matrix, power) * same_class)


def laplacian(weight: float = 1e-4, *, power: int = 2, num_neighbors: int | None = None) -> Method:
    """Laplacian training: penalises changes of `laplacian_smoothness` from each representation to the next.

    The term is `weight / (l - 1) * sum_{i=2}^{l} |sigma_i - sigma_{i-1}|` over the l representations of the network.

    Args:
        weight: Weight of the term: the paper's `gamma^m`, with gamma = 0.01 and m = 2.
        power: The power m of the Laplacian.
        num_neighbors: Neighbours kept in the graphs; None for full graphs, as in the paper's experiments.

    Returns:
        A method with the penalty term `laplacian`. Sigma grows with the size of the batch: the default weight is
        for the paper's batches of 100. With fewer than two representations the term is 0.

    Raises:
        ValueError: If weight is negative, or power or num_neighbors is not a whole number of at least 1.

    References:
        Lassance, Gripon and Ortega 2021 (arXiv 1805.10133).

    Example:
        >>> method = laplacian(weight=0.01**3, power=3, num_neighbors=10)
    """
    checks.not_negative(weight=weight)
    checks.at_least(1, power=power, num_neighbors=1 if num_neighbors is None else num_neighbors)

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        sigmas = [
            laplacian_smoothness(representation, batch.labels, power=power, num_neighbors=num_neighbors)
            for representation in output.representations.values()
        ]
        changes = [jnp.abs(after - before) for before, after in itertools.pairwise(sigmas)]
        return {"laplacian": weight * sum(changes, jnp.zeros(())) / max(len(changes), 1)}

    return Method(penalize=penalize)
