"""A PyTorch model: its accuracy under white-box attack and corruptions, and alpha(r), by JAX and PyTorch together.

    pip install lipjax[torch]
    python examples/pytorch_model.py

About 20 seconds on one core. Upper bounds need to see the layers, so there are none of a PyTorch model.
Cells (`# %%`) run one by one in an editor that knows them. The tests compile this file and don't run it.
"""

# %%
import jax
import numpy as np
import torch

from lipjax import attacks, datasets, estimators, evaluation, networks, norms
from lipjax.types import Batch

dataset = datasets.load("fashion_mnist_mini")
mean, std = (float(np.ravel(statistic)[0]) for statistic in datasets.channel_statistics(dataset.train))

# %% A module as PyTorch has it, channels first, trained as PyTorch does.
torch.manual_seed(0)
module = torch.nn.Sequential(
    torch.nn.Conv2d(1, 8, 3, stride=2, padding=1),
    torch.nn.ReLU(),
    torch.nn.Conv2d(8, 16, 3, stride=2, padding=1),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Dropout(0.2),
    torch.nn.Linear(16 * 7 * 7, 10),
)
images = torch.from_numpy(np.array(dataset.train.inputs)).permute(0, 3, 1, 2)
labels = torch.from_numpy(np.array(dataset.train.labels, np.int64))
optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
for _ in range(300):
    rows = torch.randint(len(labels), (100,))
    loss = torch.nn.functional.cross_entropy(module((images[rows] - mean) / std), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% One line makes it a model, in evaluation mode. The shape is lipjax's: height, width, channels. Pixels are in
# [0, 1]; what the module was trained on comes first.
model = networks.from_torch(module, dataset.input_shape, prepare=lambda pixels: (pixels - mean) / std)
key, few = jax.random.key(0), Batch(*(part[:200] for part in dataset.test))
print(f"clean {evaluation.accuracy(model, few):.3f}")
print(
    f"attacked {evaluation.robust_accuracy(key, model, few, attacks.pgd(norms.linf.ball(4 / 255), num_steps=10)):.3f}"
)
corrupted = evaluation.corruption_accuracy(key, model, few, names=["contrast", "gaussian_noise"], severities=(1, 3, 5))
for name, accuracies in corrupted.items():
    print(f"{name}, severities 1, 3, 5: {', '.join(f'{accuracy:.3f}' for accuracy in accuracies)}")

# %% How steep it is around its training points, at least.
curve = estimators.slope_curve(key, model.single, dataset.train.inputs[:20], [0.1, 0.5, 1.0])
for radius, steepest in zip((0.1, 0.5, 1.0), curve.maximum, strict=True):
    print(f"alpha({radius}) is at least {float(steepest):.2f}")
