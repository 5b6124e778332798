"""A training method of your own, in one file: what differs from plain training, and what it does to steepness.

    python examples/own_method.py

About 20 seconds on one core. With this folder on the path, flags know it too:

    PYTHONPATH=examples python -m experiments.train --system="own_method:small_logits(weight=0.1)"

Cells (`# %%`) run one by one in an editor that knows them. The tests compile this file and don't run it.
"""

# %%
import jax
import jax.numpy as jnp

from lipjax import attacks, checks, datasets, estimators, evaluation, networks, norms, training
from lipjax.types import Batch, KeyArray, Method, Model, Output, Scalar, System, Terms
from lipjax.values import Number, number


# %% The method: one hook. Its weight is a number, so another weight compiles nothing again.
class small_logits(Method):
    """Logit squeezing: the term `weight * mean ||f(x)||^2`.

    Attributes:
        weight: Weight of the term.

    References:
        Kannan et al. 2018, "Adversarial Logit Pairing" (arXiv 1803.06373), section 5.
    """

    weight: Number = number(0.1, checks.not_negative)

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The term."""
        penalty: Scalar = jnp.mean(jnp.sum(output.logits**2, axis=1))
        return {"small_logits": penalty * self.weight}


# %% Trained as every other system is, and asked the same.
def main() -> None:
    """Trains a small network without and with the method."""
    key, dataset = jax.random.key(0), datasets.load("fashion_mnist_mini")
    mean, std = datasets.channel_statistics(dataset.train)
    network = networks.mlp(dataset.num_classes, widths=(64,), mean=mean, std=std)
    optimizer = training.adam(training.cosine(2e-3, 300))
    attack = attacks.pgd(norms.linf.ball(4 / 255), num_steps=10)
    few = Batch(*(part[:500] for part in dataset.test))
    for method in (Method(), small_logits(0.01), small_logits(0.1)):
        model = training.fit(key, System(network, method), dataset, optimizer, num_steps=300, batch_size=100)
        clean, robust = evaluation.accuracy(model, few), evaluation.robust_accuracy(key, model, few, attack)
        curve = estimators.slope_curve(key, model.single, dataset.train.inputs[:50], [0.5])
        print(f"{method!s:28} clean {clean:.3f}, attacked {robust:.3f}, alpha(0.5) {float(curve.maximum[0]):.1f}")


if __name__ == "__main__":
    main()
