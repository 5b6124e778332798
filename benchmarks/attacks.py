"""Attacks: lipjax against foolbox on JAX and torchattacks on PyTorch, with the same weights and settings, in one run.

    python -m benchmarks.attacks [--num_steps=20] [--num_queries=500]

A small convolutional network is trained on the embedded Fashion-MNIST and copied to PyTorch; all tools then attack the
same 200 rightly classified test images on the same cores. Rounds take turns, so that whatever else runs slows all of
them, and medians are told; compilation is told apart. A tool that is not installed is left out with a word.
"""

import argparse
import functools
import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lipjax import attacks, datasets, evaluation, networks
from lipjax.evaluation import Stage, Suite
from lipjax.losses import cross_entropy
from lipjax.norms import Ball, l2, linf
from lipjax.types import AttackFn, Batch, Dataset, Model

NUM_EXAMPLES = 200
NUM_ROUNDS = 3
RADII = {"linf": 0.03, "l2": 0.6}
"""At these, gradient attacks fool a part of the images, so that success rates can differ."""

Run = Callable[[], Any]
"""An attack on all images; returns adversarial images as `[example, height, width, channel]`."""


class Rivals(NamedTuple):
    """One attack by every tool that has it; None where a tool hasn't.

    Foolbox runs twice: with the model as its documentation passes it, and with one that is compiled.
    """

    lipjax: Run
    foolbox: Run | None = None
    foolbox_jit: Run | None = None
    torchattacks: Run | None = None


def trained(dataset: Dataset, num_steps: int = 400) -> Model:
    network = networks.cnn(10, channels=(32, 64), widths=(128,))
    optimizer = optax.adam(1e-3)

    def loss(params: Any, batch: Batch) -> jax.Array:
        output, _ = network.apply(variables._replace(params=params), batch.inputs, train=True)
        return jnp.mean(jax.vmap(cross_entropy)(output.logits, batch.labels))

    @jax.jit
    def step(params: Any, state: Any, batch: Batch) -> tuple[Any, Any]:
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state)
        return optax.apply_updates(params, updates), state

    variables = network.init(jax.random.key(0), dataset.input_shape)
    params, state, generator = variables.params, optimizer.init(variables.params), np.random.default_rng(0)
    for _ in range(num_steps):
        rows = generator.integers(0, len(dataset.train.labels), 100)
        params, state = step(params, state, jax.tree.map(lambda leaf, rows=rows: leaf[rows], dataset.train))
    return Model(network, variables._replace(params=params))


def rightly_classified(model: Model, batch: Batch) -> Batch:
    correct = np.flatnonzero(jnp.argmax(model(jnp.asarray(batch.inputs))[0].logits, axis=1) == batch.labels)
    return Batch(*(jnp.asarray(leaf[correct[:NUM_EXAMPLES]]) for leaf in batch))


def by_lipjax(model: Model, batch: Batch, attack: AttackFn, aim: Callable = attacks.aim) -> Run:
    @jax.jit
    def run(model: Model, keys: jax.Array, batch: Batch) -> jax.Array:
        return jax.vmap(lambda key, x, label: attack(key, aim(attack, model.single, label), x))(keys, *batch)

    keys = jax.random.split(jax.random.key(0), len(batch.labels))
    return lambda: run(model, keys, batch).block_until_ready()


class one_stage(Suite):
    """One stage of the standard suite, with other settings of its attack."""

    ball: Ball = linf.ball(RADII["linf"])
    name: str = "square"
    changes: tuple[tuple[str, int], ...] = ()

    def stages(self, num_classes: int) -> list[Stage]:
        stages = {stage.name: stage for stage in evaluation.standard(self.ball).stages(num_classes)}
        return [stages[self.name].replace(attack=stages[self.name].attack.replace(**dict(self.changes)))]


def by_cascade(model: Model, batch: Batch, name: str, **changes: int) -> Run:
    suite = one_stage(name=name, changes=tuple(changes.items()))
    return lambda: evaluation.cascade(jax.random.key(0), model, batch, suite).points


def plain_loss(attack: AttackFn, f: Callable, label: jax.Array) -> Callable:
    return lambda x: cross_entropy(f(x), label)


class Foolbox:
    """Foolbox's attacks on the JAX model."""

    def __init__(self, model: Model, batch: Batch, compiler: Callable) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import eagerpy
            import foolbox
        self.attacks = foolbox.attacks
        self._model = foolbox.JAXModel(compiler(lambda inputs: model(inputs)[0].logits), bounds=(0, 1))
        self._inputs = eagerpy.astensor(batch.inputs)
        self._criterion = foolbox.criteria.Misclassification(eagerpy.astensor(batch.labels))

    def __call__(self, attack: Any, **settings: float) -> Run:
        """The attack on all images."""
        return lambda: attack.run(self._model, self._inputs, self._criterion, **settings).raw.block_until_ready()


def in_torch(model: Model) -> Any:
    """The network of `trained` as a PyTorch module on `[batch, channel, height, width]`."""
    import torch

    params = model.variables.params
    nn, tensor = torch.nn, lambda x: torch.from_numpy(np.array(x))

    def layer(module: Any, name: str, *axes: int) -> Any:
        module.weight.data = tensor(params[name]["kernel"]).permute(*axes).contiguous()
        module.bias.data = tensor(params[name]["bias"])
        return module

    class Flattened(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.permute(0, 2, 3, 1).flatten(1)

    # SAME padding of a stride of 2 on an even size is one pixel after the last.
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        layer(nn.Conv2d(1, 32, 3, stride=2), "conv0", 3, 2, 0, 1),
        nn.ReLU(),
        nn.ZeroPad2d((0, 1, 0, 1)),
        layer(nn.Conv2d(32, 64, 3, stride=2), "conv1", 3, 2, 0, 1),
        nn.ReLU(),
        Flattened(),
        layer(nn.Linear(7 * 7 * 64, 128), "dense0", 1, 0),
        nn.ReLU(),
        layer(nn.Linear(128, 10), "logits", 1, 0),
    ).eval()


class Torchattacks:
    """torchattacks' attacks on a copy of the model in PyTorch."""

    def __init__(self, model: Model, batch: Batch) -> None:
        import torch
        import torchattacks

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._torch, self.attacks = torch, torchattacks
        self.model = in_torch(model)
        self._inputs = torch.from_numpy(np.array(batch.inputs)).permute(0, 3, 1, 2).contiguous()
        self._labels = torch.from_numpy(np.array(batch.labels, np.int64))

    def __call__(self, name: str, **settings: Any) -> Run:
        """The attack of that name on all images."""
        attack = getattr(self.attacks, name)(self.model, **settings)
        return lambda: attack(self._inputs, self._labels).detach().permute(0, 2, 3, 1).numpy()

    def logits(self) -> np.ndarray:
        """What the copy says of the images."""
        with self._torch.no_grad():
            return self.model(self._inputs).numpy()


def is_installed(*packages: str) -> bool:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        print(f"{packages[-1]} is left out: {' and '.join(missing)} not installed")
    return not missing


def contests(model: Model, batch: Batch, num_steps: int, num_queries: int) -> dict[str, Rivals]:
    ours = functools.partial(by_lipjax, model, batch)
    cascade = functools.partial(by_cascade, model, batch)
    compilers = (lambda f: f, jax.jit) if is_installed("foolbox") else ()
    foolboxes = [Foolbox(model, batch, compiler) for compiler in compilers]
    torch: Any = lambda *name, **settings: None  # noqa: E731
    if is_installed("torch", "torchattacks"):
        torch = Torchattacks(model, batch)
        difference = np.abs(torch.logits() - model(batch.inputs)[0].logits).max()
        print(f"the copy's logits differ from the model's by at most {difference:.1e}")

    def theirs(name: str, settings: dict[str, Any], **budget: float) -> list[Run | None]:
        runs = [foolbox(getattr(foolbox.attacks, name)(**settings), **budget) for foolbox in foolboxes]
        return runs or [None, None]

    r, r2, step, step2 = RADII["linf"], RADII["l2"], RADII["linf"] / 8, RADII["l2"] / 8
    last = {"num_steps": num_steps, "random_start": False, "best_iterate": False}
    targeted = {"n_classes": 10, "n_restarts": 1, "steps": num_steps}
    return {
        "fgsm linf": Rivals(
            ours(attacks.fgsm(linf.ball(r)), plain_loss),
            *theirs("LinfFastGradientAttack", {}, epsilon=r),
            torch("FGSM", eps=r),
        ),
        "pgd linf": Rivals(
            ours(attacks.pgd(linf.ball(r), step_size=step, **last), plain_loss),
            *theirs("LinfPGD", {"abs_stepsize": step, "steps": num_steps, "random_start": False}, epsilon=r),
            torch("PGD", eps=r, alpha=step, steps=num_steps, random_start=False),
        ),
        "pgd l2": Rivals(
            ours(attacks.pgd(l2.ball(r2), step_size=step2, **last), plain_loss),
            *theirs("L2PGD", {"abs_stepsize": step2, "steps": num_steps, "random_start": False}, epsilon=r2),
            torch("PGDL2", eps=r2, alpha=step2, steps=num_steps, random_start=False),
        ),
        "momentum linf": Rivals(
            ours(attacks.momentum_pgd(linf.ball(r), step_size=step, num_steps=num_steps), plain_loss),
            torchattacks=torch("MIFGSM", eps=r, alpha=step, steps=num_steps, decay=1.0),
        ),
        "deepfool l2": Rivals(
            ours(attacks.deepfool(num_steps=num_steps)),
            *theirs("L2DeepFoolAttack", {"steps": num_steps}),
        ),
        "apgd_ce linf": Rivals(
            ours(attacks.apgd(linf.ball(r), num_steps=num_steps)),
            torchattacks=torch("APGD", norm="Linf", eps=r, steps=num_steps),
        ),
        "apgd_ce l2": Rivals(
            ours(attacks.apgd(l2.ball(r2), num_steps=num_steps)),
            torchattacks=torch("APGD", norm="L2", eps=r2, steps=num_steps),
        ),
        "apgd_t linf": Rivals(
            cascade("apgd_t", num_steps=num_steps),
            torchattacks=torch("APGDT", norm="Linf", eps=r, **targeted),
        ),
        "fab_t linf": Rivals(
            cascade("fab_t", num_steps=num_steps),
            torchattacks=torch("FAB", norm="Linf", eps=r, multi_targeted=True, **targeted),
        ),
        "square linf": Rivals(
            cascade("square", num_queries=num_queries),
            torchattacks=torch("Square", norm="Linf", eps=r, n_queries=num_queries, resc_schedule=False),
        ),
    }


def seconds(run: Run) -> tuple[float, Any]:
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def medians(runs: dict[str, Run], num_rounds: int = NUM_ROUNDS) -> dict[str, float]:
    """Seconds of each, over rounds in which they take turns."""
    rounds = [{tool: seconds(run)[0] for tool, run in runs.items()} for _ in range(num_rounds)]
    return {tool: statistics.median(spent[tool] for spent in rounds) for tool in runs}


def report(name: str, rivals: Rivals, model: Model, batch: Batch) -> None:
    runs = {tool: run for tool, run in rivals._asdict().items() if run is not None}
    first = {tool: seconds(run) for tool, run in runs.items()}
    times = medians(runs)
    fooled = {
        tool: int(np.sum(jnp.argmax(model(jnp.asarray(points))[0].logits, axis=1) != batch.labels))
        for tool, (_, points) in first.items()
    }
    told = [f"{tool} {fooled[tool]:3d} fooled {times[tool]:7.3f} s" for tool in runs]
    ratios = [f"x{times[tool] / times['lipjax']:.1f} {tool}" for tool in runs if tool != "lipjax"]
    print(
        f"{name:14}", " | ".join(told), "|", ", ".join(ratios), f"| first call {first['lipjax'][0]:.1f} s", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_steps", type=int, default=20)
    parser.add_argument("--num_queries", type=int, default=500)
    arguments = parser.parse_args()
    dataset = datasets.load("fashion_mnist_mini")
    model = trained(dataset)
    batch = rightly_classified(model, dataset.test)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f}, {len(batch.labels)} images, radii {RADII}")
    for name, rivals in contests(model, batch, arguments.num_steps, arguments.num_queries).items():
        report(name, rivals, model, batch)


if __name__ == "__main__":
    main()
