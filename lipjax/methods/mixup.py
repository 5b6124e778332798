"""Mixup and label smoothing: training on soft labels, with or without mixed inputs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lipjax import checks
from lipjax.types import Batch, KeyArray, Method, Model
from lipjax.values import Number, number


def _soft(model: Model, batch: Batch) -> Float[Array, "batch classes"]:
    labels = jnp.asarray(batch.labels)
    if labels.ndim == 2:
        return labels
    num_classes = jax.eval_shape(model.single, jnp.asarray(batch.inputs)[0]).shape[-1]
    return jax.nn.one_hot(labels, num_classes)


class mixup(Method):
    """Mixup: `x' = lambda x_i + (1 - lambda) x_j` with the soft label `lambda e_{y_i} + (1 - lambda) e_{y_j}`.

    Lambda is drawn from Beta(alpha, alpha) and j from a permutation of the batch, one draw of each at every step. The
    network is asked to be linear between examples: a soft promise far from them, where alpha(r) looks at their balls.

    Attributes:
        alpha: Both parameters of the beta distribution: near 0 hardly anything is mixed, 1 is uniform. The paper's
            values are 1 on CIFAR-10, 0.2 to 0.4 on ImageNet.

    References:
        Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization" (arXiv 1710.09412).

    Examples:
        >>> from lipjax import networks
        >>> network = networks.mlp(2, widths=())
        >>> model = Model(network, network.init(jax.random.key(0), (1,)))
        >>> batch = Batch(jnp.array([[0.0], [1.0]]), jnp.array([0, 1]))
        >>> mixed = mixup().perturb(jax.random.key(1), model, batch)
        >>> bool(jnp.allclose(mixed.labels[:, 1:], mixed.inputs))  # the label moved as far as the input
        True
    """

    alpha: Number = number(1.0, checks.positive)

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """The mixed batch."""
        weight_key, order_key = jax.random.split(key)
        weight = jax.random.beta(weight_key, self.alpha, self.alpha)
        order = jax.random.permutation(order_key, len(batch.labels))
        inputs, labels = jnp.asarray(batch.inputs), _soft(model, batch)
        return Batch(*(weight * whole + (1 - weight) * whole[order] for whole in (inputs, labels)))


class label_smoothing(Method):
    """Label smoothing: the right class keeps `1 - epsilon`, and epsilon is spread evenly over all classes.

    Attributes:
        epsilon: Share of the label that is spread; 0.1 in the paper.

    References:
        Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision" (arXiv 1512.00567), section 7.

    Examples:
        >>> from lipjax import networks
        >>> network = networks.mlp(4, widths=())
        >>> model = Model(network, network.init(jax.random.key(0), (1,)))
        >>> batch = Batch(jnp.zeros((1, 1)), jnp.array([2]))
        >>> label_smoothing(0.2).perturb(jax.random.key(1), model, batch).labels[0, :2]
        Array([0.05, 0.05], dtype=float32)
    """

    epsilon: Number = number(0.1, checks.probability)

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """The batch with smoothed labels."""
        labels = _soft(model, batch)
        return batch._replace(labels=(1 - self.epsilon) * labels + self.epsilon / labels.shape[-1])
