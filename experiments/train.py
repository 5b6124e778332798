"""Trains one system on one dataset and records the run.

    python -m experiments.train
    python -m experiments.train --system="parseval(beta=3e-4)+laplacian" --dataset=cifar10 --out_dir=runs/pl

Its directory then holds config.json, metrics.jsonl, checkpoints and results.json. The same command continues a run
that was stopped, also by SIGKILL, and on CPU ends with the same parameters, bit for bit; other experiments take the
directory as --run_dir.

Without flags it trains the plain `cnn` on the embedded Fashion-MNIST images: 14 s of processor time on a 2-core AMD
EPYC (Zen 4), 95.4 % of the training and 87.8 % of the test examples right (2026-11-22).
"""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from experiments import choices, cli
from experiments.choices import DataFlags, SystemFlags, TrainingFlags
from lipjax import evaluation, parallel, records, training
from lipjax.types import Dataset, Model, System

STEPS_PER_DISPATCH = 10
"""On CPU too: the convolutions of lipjax's networks are as fast inside a loop as outside."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingFlags, SystemFlags, DataFlags):
    """What is trained, on what, how, and where it is recorded."""

    out_dir: str = cli.flag("runs/train", "The run directory.", recorded=False)
    num_devices: int = cli.flag(1, "Devices over which each batch is spread.", minimum=1)
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)

    def __post_init__(self) -> None:
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"--checkpoint_every must be a multiple of --log_every, got {self.checkpoint_every} and "
                f"{self.log_every}"
            )


class Trained(NamedTuple):
    """A run read back: its config, and what that config and the newest checkpoint make."""

    config: Config
    dataset: Dataset
    model: Model


def _mesh(config: Config) -> Mesh | None:
    if config.num_devices == 1:
        return None
    if config.num_devices > jax.device_count() or config.batch_size % config.num_devices:
        raise cli.UsageError(
            f"--num_devices must be at most {jax.device_count()} here and divide --batch_size={config.batch_size}, "
            f"got {config.num_devices}"
        )
    return parallel.mesh(jax.devices()[: config.num_devices])


def prepare(config: Config) -> tuple[Dataset, System]:
    """Dataset and system of a config: what can be wrong with its flags is found here, before any compute.

    Raises:
        UsageError: If a choice can't be used.
    """
    dataset = choices.dataset(config)
    count = len(dataset.train.labels)
    if config.batch_size > count:
        raise cli.UsageError(f"--batch_size must be at most the {count} training examples, got {config.batch_size}")
    return dataset, choices.system(config, dataset)


def run(config: Config, log: training.Log | None = None) -> dict[str, Any]:
    """Trains, measures the accuracies, and writes the run directory; continues a run that was stopped.

    Args:
        config: What to train.
        log: Called as `log(step, metrics)`, as in `training.fit`.

    Returns:
        What results.json has.

    Raises:
        UsageError: If a choice can't be used.
        RunRefused: If the directory is in use or belongs to another config.
        NonFiniteLoss: If training diverges.
    """
    dataset, system = prepare(config)
    optimizer, augment, mesh = choices.optimizer(config), choices.augment(config.augment), _mesh(config)
    with records.open_run(config.out_dir, cli.settings(config)) as run_dir:
        model = training.fit(
            jax.random.key(config.seed),
            system,
            dataset,
            optimizer,
            num_steps=config.num_steps,
            batch_size=config.batch_size,
            augment=augment,
            run=run_dir,
            log=log,
            log_every=config.log_every,
            checkpoint_every=config.checkpoint_every,
            steps_per_dispatch=math.gcd(config.log_every, STEPS_PER_DISPATCH),
            mesh=mesh,
            progress=config.progress,
        )
        results = {
            "config": cli.settings(config),
            "environment": records.environment(),
            "num_params": sum(leaf.size for leaf in jax.tree.leaves(model.variables.params)),
            "train_accuracy": evaluation.accuracy(model, dataset.train),
            "test_accuracy": evaluation.accuracy(model, dataset.test),
        }
        run_dir.finish(results)
    return results


def load(run_dir: str | os.PathLike) -> Trained:
    """Reads a run directory back, without unpickling anything: the network is rebuilt from the config.

    Raises:
        UsageError: If it is not the directory of a training run, or has no good checkpoint yet.
    """
    try:
        config = cli.from_settings(Config, records.read_json(Path(run_dir) / "config.json"))
        dataset, system = prepare(config)
        optimizer = choices.optimizer(config)
        template = training.init(jax.random.key(0), system.network, dataset.input_shape, optimizer)
        state = records.load_state(run_dir, template)
    except (OSError, ValueError) as error:
        raise cli.UsageError(f"{run_dir} can't be read as a training run: {error}") from error
    return Trained(config, dataset, Model(system.network, state.variables))


def _print(config: Config) -> None:
    results = run(config)
    train, test = (100 * results[f"{part}_accuracy"] for part in ("train", "test"))
    print(f"{config.system}: {train:.1f} % of the training, {test:.1f} % of the test examples; see {config.out_dir}")


if __name__ == "__main__":
    cli.run_main(Config, _print, __doc__)
