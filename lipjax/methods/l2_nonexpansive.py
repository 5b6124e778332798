"""L2-nonexpansive training: a loss for logits that can't be steep, and a regulariser of the layers' bounds."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import checks
from lipjax.losses import cross_entropy
from lipjax.methods.matrices import matrices
from lipjax.networks.nonexpansive import grams
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


def nonexpansive_penalty(params: Params) -> Scalar:
    """How far the bounds `b(W)` exceed 1: `sum_W min(l(W^T W), l(W W^T))`, `l(M) = sum_i max(sum_j |M_ij| - 1, 0)`.

    Args:
        params: One matrix, or a tree of parameters; kernels of convolutions count as their unfolding, and
            parameters with fewer than two axes do not count.

    Returns:
        A number that is 0 exactly when `b(W) <= 1` for every matrix. Where a Gram matrix has more than 512 rows
        the smaller one alone is taken, as in `networks.nonexpansive.norm_bound`.

    References:
        Qian and Wegman 2019, "L2-Nonexpansive Neural Networks" (arXiv 1802.07896).

    Example:
        >>> nonexpansive_penalty(jnp.array([[2.0, 0.0], [0.0, 1.0]]))  # rows of the Gram matrix sum to 4 and 1
        Array(3., dtype=float32)
    """

    def excess(gram: Float[Array, "side side"]) -> Scalar:
        return jnp.sum(jnp.maximum(jnp.sum(jnp.abs(gram), axis=1) - 1.0, 0.0))

    smallest = [jnp.min(jnp.stack([excess(gram) for gram in grams(matrix)])) for matrix in matrices(params)]
    return sum(smallest, jnp.zeros(()))


def log_wrong(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
    """The logarithm of the probability that is not on the label, `log(1 - softmax(z)_y)`: falls as the gap grows.

    Example:
        >>> float(log_wrong(jnp.zeros(4), 1))  # log(3 / 4)
        -0.287682
    """
    others = jnp.where(jnp.arange(logits.size) == label, -jnp.inf, logits)
    return jax.nn.logsumexp(others) - jax.nn.logsumexp(logits)


def with_scales(network: Network) -> Network:
    """The network with the trainable scales of the loss beside its parameters: `{"network": ..., "scales": {u, v}}`.

    What the network computes is untouched: the scales are for the loss alone, so no promise about the logits is lost.

    Args:
        network: Any network.

    Returns:
        The network with u (one scale per class) and v (one number), all 1 to begin with, among its parameters.

    Example:
        >>> from lipjax import networks
        >>> network = with_scales(networks.mlp(3, widths=(), layers=networks.nonexpansive))
        >>> network.init(jax.random.key(0), (4,)).params["scales"]
        {'u': Array([1., 1., 1.], dtype=float32), 'v': Array(1., dtype=float32)}
    """

    def init(key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        variables = network.init(key, input_shape)
        output, _ = jax.eval_shape(lambda: network.apply(variables, jnp.zeros((1, *input_shape)), train=False))
        scales = {"u": jnp.ones(output.logits.shape[-1]), "v": jnp.ones(())}
        return Variables({"network": variables.params, "scales": scales}, variables.state)

    def apply(variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        inner = Variables(variables.params["network"], variables.state)
        return network.apply(inner, inputs, train=train)

    return Network(init, apply)


def scales_of(params: Params) -> dict[str, Array]:
    """The trainable scales among the parameters; 1 where there are none."""
    has_scales = isinstance(params, dict) and "scales" in params
    return params["scales"] if has_scales else {"u": jnp.ones(()), "v": jnp.ones(())}


def l2_nonexpansive(*, gamma: float = 1.0, omega: float = 0.1, z: float = 1.0, weight: float = 0.1) -> Method:
    """L2-nonexpansive training: the three-term loss and the regulariser of the weights.

    `L = L_a + gamma L_b + omega L_c` of the logits y, with L_a the cross-entropy of `(u_1 y_1, ..., u_K y_K)`, L_b
    that of `v y`, and `L_c = mean log(1 - softmax(z y)_label) / z`, which pushes the gap between the two largest
    logits.

    To be used with a network of nonexpansive layers, inside `with_scales` for trainable u and v; without it they are 1.

    Args:
        gamma: Weight of L_b.
        omega: Weight of L_c.
        z: Scale inside L_c.
        weight: Weight of `nonexpansive_penalty`, which takes the place of weight decay.

    Returns:
        A method with the loss terms `scaled_cross_entropy`, `common_cross_entropy` and `gap`, and the penalty term
        `nonexpansive`.

    Raises:
        ValueError: If a weight is negative or z is not positive.

    References:
        Qian and Wegman 2019 (arXiv 1802.07896). The values of gamma, omega, v and z in the paper are not known to
        us; the defaults are those of a reimplementation that restates its losses.

    Example:
        >>> method = l2_nonexpansive(omega=0.5)
    """
    checks.not_negative(gamma=gamma, omega=omega, weight=weight)
    checks.positive(z=z)

    def loss(model: Model, batch: Batch, output: Output) -> Terms:
        labels, scales = jnp.asarray(batch.labels), scales_of(model.variables.params)
        entropy, wrong = jax.vmap(cross_entropy), jax.vmap(log_wrong)
        return {
            "scaled_cross_entropy": jnp.mean(entropy(scales["u"] * output.logits, labels)),
            "common_cross_entropy": gamma * jnp.mean(entropy(scales["v"] * output.logits, labels)),
            "gap": omega / z * jnp.mean(wrong(z * output.logits, labels)),
        }

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        return {"nonexpansive": weight * nonexpansive_penalty(model.variables.params)}

    return Method(penalize=penalize, loss=loss)
