"""alpha(r) of a network of your own: how steep it is around its training points, from below and from above.

    python examples/own_network.py

About 35 seconds on one core. The figure is runs/examples/alpha.svg. Cells (`# %%`) run one by one in an
editor that knows them. The tests compile this file and don't run it.
"""

# %%
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from lipjax import datasets, measurements, networks, report

dataset = datasets.load("fashion_mnist_mini")
mean, std = datasets.channel_statistics(dataset.train)


# %% A network that knows nothing of lipjax. It takes pixels in [0, 1]: standardisation is its first layer.
class Network(nnx.Module):
    """Two strided convolutions and a linear classifier."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(1, 8, (3, 3), 2, rngs=rngs)
        self.second = nnx.Conv(8, 16, (3, 3), 2, rngs=rngs)
        self.last = nnx.Linear(16 * 7 * 7, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Logits of a batch."""
        hidden = nnx.relu(self.first((images - np.asarray(mean)) / np.asarray(std)))
        hidden = nnx.relu(self.second(hidden))
        return self.last(hidden.reshape(len(hidden), -1))


# %% A training loop that knows nothing of it either.
@nnx.jit
def step(module: Network, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array) -> None:
    """One update."""

    def loss(module: Network) -> jax.Array:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(module(images), labels))

    optimizer.update(module, nnx.grad(loss)(module))


module = Network(nnx.Rngs(0))
optimizer = nnx.Optimizer(module, optax.adam(2e-3), wrt=nnx.Param)
rng = np.random.default_rng(0)
for _ in range(300):
    rows = rng.integers(len(dataset.train.labels), size=100)
    step(module, optimizer, jnp.asarray(dataset.train.inputs[rows]), jnp.asarray(dataset.train.labels[rows]))

# %% One line makes it a model; what is asked of it are measurements.
model = networks.from_nnx(module, dataset.input_shape)
alpha = measurements.alpha((0.05, 0.1, 0.2, 0.5, 1.0), of="logits", num_points=50, num_bounded=2)
answers = measurements.measure(jax.random.key(0), {"mine": model}, dataset, [measurements.clean(), alpha])
figures = measurements.summary(answers)
print(f"test accuracy {float(figures.clean_accuracy[0, 0]):.3f}")
at = answers.isel(system=0, seed=0, constant=0)
for radius in at.radius.values:
    lower, upper = (float(at[name].sel(radius=radius).max()) for name in ("alpha", "alpha_upper"))
    near = float(at.alpha_upper.sel(radius=radius)[:2].max())
    print(
        f"alpha({radius:g}) is from {lower:.2f}, attained, to {upper:.2f}; of the first two points at most {near:.2f}"
    )

# %% The figure.
charts = report.charts(report.frames.joined(figures, answers), "a network of my own, Fashion-MNIST")
folder = Path("runs/examples")
folder.mkdir(parents=True, exist_ok=True)
print(*report.save(charts["alpha"], folder / "alpha", ["svg"]))
