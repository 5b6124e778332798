"""What a sweep trains: cells, and grids of them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from lipjax import checks
from lipjax.augmentation import Augment
from lipjax.measurements import Parts
from lipjax.training import Optimizer
from lipjax.types import Dataset, System, pixels
from lipjax.values import Json, to_json


class Cell(NamedTuple):
    """One point of a sweep: all that decides the weights of a network, beside the training examples.

    Attributes:
        name: What results call it; cells of one name are the seeds of one configuration.
        system: Network and method.
        optimizer: Optimiser with its schedule.
        num_steps: Number of updates.
        batch_size: Examples per update.
        augment: Random change of every training image.
        seed: Seed of all that is random.
        words: What a command called these settings; kept beside the run.

    Examples:
        >>> from lipjax import methods, networks
        >>> from lipjax.training import adam
        >>> system = System(networks.mlp(10), methods.adversarial(num_steps=7))
        >>> slow, fast = (Cell("PGD", system, adam(rate), num_steps=300, batch_size=100) for rate in (1e-4, 1e-3))
        >>> slow.structure() == fast.structure(), slow.cost()  # 100 * (1 + 7) * 300 gradients
        (True, 240000.0)
    """

    name: str
    system: System
    optimizer: Optimizer
    num_steps: int
    batch_size: int
    augment: Augment | None = None
    seed: int = 0
    words: Mapping[str, Any] = {}

    def settings(self, parts: Parts) -> Json:
        """What decides the weights, in terms of JSON: names and places of the data do not count."""
        deciding = {name: to_json(part) for name, part in self._asdict().items() if name not in ("name", "words")}
        return deciding | {"examples": parts.digests["train"]}

    def cost(self) -> float:
        """What training takes, in gradients of one image: inner maximisations add theirs to every update."""
        method = self.system.method
        inner = sum(getattr(part, "num_steps", 0) for part in getattr(method, "methods", (method,)))
        return float(self.batch_size * (1 + inner) * self.num_steps)

    def structure(self) -> Any:
        """What decides the compiled program of its training: equal for cells that differ in numbers and seeds."""
        parts = (tuple(self.system), self.optimizer, self.augment)
        return jax.tree.structure(parts), self.batch_size

    def refuse(self, dataset: Dataset) -> None:
        """Raises ValueError where the dataset can't be trained on so, before any compute."""
        checks.at_least(1, num_steps=self.num_steps, batch_size=self.batch_size)
        if self.batch_size > len(dataset.train.labels):
            count = len(dataset.train.labels)
            raise ValueError(f"{self.name}: batch_size must be at most the {count} examples, got {self.batch_size}")
        network = self.system.method.extend(self.system.network)
        variables = jax.eval_shape(lambda: network.init(jax.random.key(0), dataset.input_shape))
        size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(variables))
        checks.fits_memory(f"{self.name}: variables, their gradients and what the optimizer remembers have", 4 * size)
        if self.augment is not None:
            images = jax.eval_shape(pixels, dataset.train.inputs[:1])
            jax.eval_shape(self.augment, jax.random.key(0), jax.ShapeDtypeStruct(images.shape[1:], images.dtype))


def grid(
    systems: Mapping[str, System],
    optimizers: Optimizer | Mapping[str, Optimizer],
    *,
    num_steps: int | Sequence[int],
    batch_size: int | Sequence[int],
    augments: Augment | Mapping[str, Augment | None] | None = None,
    seeds: Iterable[int] = (0,),
) -> list[Cell]:
    """All combinations as cells, seed by seed.

    Args:
        systems: Systems by name.
        optimizers: One, or several by name.
        num_steps: Number of updates, or several numbers.
        batch_size: Examples per update, or several numbers.
        augments: One, or several by name.
        seeds: Seeds.

    Returns:
        Cells, called as their system, with whatever else there are several of: `"V, lr=0.1, num_steps=300"`.

    Examples:
        >>> from lipjax import networks, systems
        >>> from lipjax.training import adam
        >>> rows = {name: systems.ROWS[name](networks.mlp(10)) for name in ("V", "PGD")}
        >>> rates = {f"lr={rate}": adam(rate) for rate in (1e-3, 2e-3)}
        >>> cells = grid(rows, rates, num_steps=300, batch_size=100, seeds=range(5))
        >>> len(cells), cells[1].name
        (20, 'V, lr=0.002')
    """
    axes: tuple[dict[str, Any], ...] = (
        dict(systems),
        _named(optimizers),
        _named(num_steps, "num_steps"),
        _named(batch_size, "batch_size"),
        _named(augments),
    )
    named = {
        ", ".join(filter(None, names)): [axis[name] for axis, name in zip(axes, names, strict=True)]
        for names in itertools.product(*axes)
    }
    return [Cell(name, *chosen)._replace(seed=seed) for seed in seeds for name, chosen in named.items()]


def _named(options: Any, what: str = "") -> dict[str, Any]:
    if isinstance(options, Mapping):
        return dict(options)
    if isinstance(options, Sequence):
        return {f"{what}={option}": option for option in options}
    return {"": options}
