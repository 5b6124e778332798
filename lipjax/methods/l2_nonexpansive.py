"""L2-nonexpansive training: a loss for logits that can't be steep, and a regulariser of the layers' bounds."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.layers.nonexpansive import grams
from lipjax.losses import cross_entropy, of_soft_labels
from lipjax.methods.matrices import matrices
from lipjax.types import (
    Batch,
    KeyArray,
    Method,
    Model,
    Network,
    Output,
    Params,
    Scalar,
    State,
    Terms,
    Variables,
)
from lipjax.values import Number, number, setting


def nonexpansive_penalty(params: Params) -> Scalar:
    """How far the bounds `b(W)` exceed 1: `sum_W min(l(W^T W), l(W W^T))`, `l(M) = sum_i max(sum_j |M_ij| - 1, 0)`.

    Args:
        params: One matrix, or a tree of parameters; kernels of convolutions count as their unfolding, and
            parameters with fewer than two axes do not count.

    Returns:
        A number that is 0 exactly when `b(W) <= 1` for every matrix. Where a Gram matrix has more than 512 rows
        the smaller one alone is taken, as in `layers.nonexpansive.norm_bound`.

    References:
        Qian and Wegman 2019, "L2-Nonexpansive Neural Networks" (arXiv 1802.07896).

    Examples:
        >>> nonexpansive_penalty(jnp.array([[2.0, 0.0], [0.0, 1.0]]))  # rows of the Gram matrix sum to 4 and 1
        Array(3., dtype=float32)
    """

    def excess(gram: Float[Array, "side side"]) -> Scalar:
        return jnp.sum(jnp.maximum(jnp.sum(jnp.abs(gram), axis=1) - 1.0, 0.0))

    smallest = [jnp.min(jnp.stack([excess(gram) for gram in grams(matrix)])) for matrix in matrices(params)]
    return sum(smallest, jnp.zeros(()))


@of_soft_labels
def log_wrong(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
    """The logarithm of the probability that is not on the label, `log(1 - softmax(z)_y)`: falls as the gap grows.

    Examples:
        >>> float(log_wrong(jnp.zeros(4), 1))  # log(3 / 4)
        -0.287682
    """
    others = jnp.where(jnp.arange(logits.size) == label, -jnp.inf, logits)
    return jax.nn.logsumexp(others) - jax.nn.logsumexp(logits)


class with_scales(Network):
    """A network with the trainable scales of the loss beside its parameters: `{"network": ..., "scales": {u, v}}`.

    u has one scale per class, v is one number, all 1 to begin with. What the network computes is untouched: the scales
    are for the loss alone, so no promise about the logits is lost.

    Attributes:
        network: Any network.

    Examples:
        >>> from lipjax import layers, networks
        >>> network = with_scales(networks.mlp(3, widths=(), layers=layers.nonexpansive))
        >>> network.init(jax.random.key(0), (4,)).params["scales"]
        {'u': Array([1., 1., 1.], dtype=float32), 'v': Array(1., dtype=float32)}
    """

    network: Network = setting()

    def init(self, key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        """Fresh variables."""
        variables = self.network.init(key, input_shape)
        output, _ = jax.eval_shape(lambda: self.network.apply(variables, jnp.zeros((1, *input_shape)), train=False))
        scales = {"u": jnp.ones(output.logits.shape[-1]), "v": jnp.ones(())}
        return Variables({"network": variables.params, "scales": scales}, variables.state)

    def apply(self, variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        """Output and new state of the network."""
        return self.network.apply(_inner(variables), inputs, train=train)

    def freeze(self, variables: Variables, input_shape: tuple[int, ...]) -> Model:
        """The network frozen, without the scales."""
        return self.network.freeze(_inner(variables), input_shape)


def _inner(variables: Variables) -> Variables:
    return Variables(variables.params["network"], variables.state)


def scales_of(params: Params) -> dict[str, Array]:
    """The trainable scales among the parameters; 1 where there are none."""
    has_scales = isinstance(params, dict) and "scales" in params
    return params["scales"] if has_scales else {"u": jnp.ones(()), "v": jnp.ones(())}


class l2_nonexpansive(Method):
    """L2-nonexpansive training: the three-term loss and the regulariser of the weights.

    `L = L_a + gamma L_b + omega L_c` of the logits y, with L_a the cross-entropy of `(u_1 y_1, ..., u_K y_K)`, L_b
    that of `v y`, and `L_c = mean log(1 - softmax(z y)_label) / z`, which pushes the gap between the two largest
    logits: the terms `scaled_cross_entropy`, `common_cross_entropy` and `gap`.

    To be used with a network of nonexpansive layers. u and v are trained beside it, see `with_scales`.

    Attributes:
        gamma: Weight of L_b.
        omega: Weight of L_c.
        z: Scale inside L_c.
        weight: Weight of `nonexpansive_penalty`, which takes the place of weight decay: the term `nonexpansive`.

    References:
        Qian and Wegman 2019 (arXiv 1802.07896). The values of gamma, omega, v and z in the paper are not known to
        us; the defaults are those of a reimplementation that restates its losses.

    Examples:
        >>> method = l2_nonexpansive(omega=0.5)
    """

    _: dataclasses.KW_ONLY
    gamma: Number = number(1.0, checks.not_negative)
    omega: Number = number(0.1, checks.not_negative)
    z: Number = number(1.0, checks.positive)
    weight: Number = number(0.1, checks.not_negative)

    def extend(self, network: Network) -> Network:
        """The network with trainable scales."""
        return network if isinstance(network, with_scales) else with_scales(network)

    def loss(self, model: Model, batch: Batch, output: Output) -> Terms:
        """The three terms."""
        labels, scales = jnp.asarray(batch.labels), scales_of(model.variables.params)
        entropy, wrong = jax.vmap(cross_entropy), jax.vmap(log_wrong)
        return {
            "scaled_cross_entropy": jnp.mean(entropy(scales["u"] * output.logits, labels)),
            "common_cross_entropy": jnp.mean(entropy(scales["v"] * output.logits, labels)) * self.gamma,
            "gap": jnp.mean(wrong(output.logits * self.z, labels)) * (self.omega / self.z),
        }

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The regulariser."""
        return {"nonexpansive": nonexpansive_penalty(model.variables.params) * self.weight}
