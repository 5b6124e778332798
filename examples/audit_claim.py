"""Is a claimed Lipschitz constant true? An audit of the layers, an upper bound, and a search for a pair that breaks it.

    python examples/audit_claim.py

About 25 seconds on one core. Cells (`# %%`) run one by one in an editor that knows them. The tests run this file.
"""

# %%
import functools

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import bounds, norms

# %% A network that is said to be 1-Lipschitz. Its layers were divided by their norms, and the norm of the convolution
# was taken to be that of its kernel as a matrix, as in Miyato et al. 2018, "Spectral Normalization" (arXiv 1802.05957).
rng = np.random.default_rng(0)
kernel = jnp.asarray(rng.uniform(size=(3, 3, 1, 2)), jnp.float32)
matrix = jnp.asarray(rng.uniform(size=(72, 3)), jnp.float32)
matrix /= jnp.linalg.norm(matrix, 2)


def network(kernel: jax.Array, image: jax.Array) -> jax.Array:
    """Logits of an image [6, 6, 1]."""
    hidden = jax.lax.conv_general_dilated(
        image[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.relu(hidden).ravel() @ matrix


claimed = functools.partial(network, kernel / jnp.linalg.norm(kernel.reshape(-1, 2), 2))

# %% The audit names the layers that exceed 1, with exact norms.
print(bounds.audit(claimed, (6, 6, 1)), "\n")

# %% That alone doesn't break the claim. A pair of points does that is farther apart behind the network than before it.
# It is checked in float64 with its rounding; `found.save("pair.npz")` lets anybody check it again with NumPy alone.
found = bounds.refute(claimed, 1.0, jnp.full((6, 6, 1), 0.5), norms.l2.ball(0.5))
print(found)

# %% Divided by the norm of the convolution itself, the network keeps the promise: for all inputs, with proof.
mended = functools.partial(network, kernel / bounds.conv_norm(kernel, (6, 6, 1)))
print(f"mended: nothing exceeds {bounds.global_bound(mended, (6, 6, 1)):.6f}")
