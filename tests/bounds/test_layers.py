"""Every kind of layer that users write has bounds on balls, above all Jacobians found there."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lipjax.bounds import audit, local_bound
from lipjax.norms import l2

SHAPE = (4, 4, 2)


def grouped(x):
    return jnp.sort(x.reshape(-1, 2), -1).ravel()


LAYERS = {
    "max pooling": lambda x: nn.max_pool(x, (2, 2), (2, 2)),
    "overlapping max pooling": lambda x: nn.max_pool(x[..., :1], (2, 2), (1, 1)),
    "maxout": lambda x: jnp.max(x.reshape(8, 4), -1),
    "minimum of two": lambda x: jnp.minimum(x[0], x[1]),
    "GroupSort": grouped,
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_has_a_bound_on_balls_that_no_jacobian_exceeds(name):
    kernel = jax.random.normal(jax.random.key(1), (LAYERS[name](jnp.zeros(SHAPE)).size, 2))
    x, radius = jax.random.normal(jax.random.key(0), SHAPE), 0.05
    f = lambda x: LAYERS[name](x).ravel() @ kernel  # noqa: E731
    bound = jax.jit(lambda radius: local_bound(f, x, l2.ball(radius, box=None), method="expansion"))
    draw = jax.vmap(lambda key: l2.sample(key, SHAPE))(jax.random.split(jax.random.key(2), 300))
    jacobians = np.asarray(jax.vmap(jax.jacobian(f))(x + radius * draw)).reshape(300, 2, -1)
    found = np.linalg.norm(jacobians, 2, axis=(1, 2)).max()
    at_x = np.linalg.norm(np.asarray(jax.jacobian(f)(x)).reshape(2, -1), 2)
    assert found <= float(bound(radius)) < np.inf
    assert float(bound(1e-6)) == pytest.approx(at_x, rel=1e-3)
    assert not audit(f, SHAPE).unknown
