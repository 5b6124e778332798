"""Trains one system on one dataset and records the run.

    python -m experiments.train
    python -m experiments.train --system="parseval(beta=3e-4)+laplacian" --dataset=cifar10 --out_dir=runs/pl

Its directory then holds config.json (what decides the weights), flags.json, metrics.jsonl, checkpoints, model.npz and
results.json. The same command continues a run that was stopped, also by SIGKILL, and on CPU ends with the same
parameters, bit for bit; other experiments take the directory as --run_dir, and `lipjax.load` has its model in one line.
Without --out_dir the run is in runs/, below a name made of its settings.

Without flags it trains the plain `cnn` on the embedded Fashion-MNIST images: 14 s of processor time on a 2-core AMD
EPYC (Zen 4), 95.4 % of the training and 87.8 % of the test examples right (2026-11-22).
"""

import dataclasses
import math
from pathlib import Path

import jax
from jax.sharding import Mesh

from lipjax import measurements, parallel, records, sweep, training
from lipjax.types import Dataset
from lipjax.values import Json

from . import cli, flags, process
from .flags import DataFlags, SystemFlags, TrainingFlags

STEPS_PER_DISPATCH = 10
"""On CPU too: the convolutions of lipjax's networks are as fast inside a loop as outside."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(TrainingFlags, SystemFlags, DataFlags):
    """What is trained, on what, how, and where it is recorded."""

    out_dir: str = cli.flag("", "The run directory; default one in runs/, found again by its settings.", recorded=False)
    store: str = cli.flag("runs", "Folder in which it is found again by its settings.", recorded=False)
    num_devices: int | None = cli.flag(
        None, "Devices over which each batch is spread; default one, or all of several processes.", minimum=1
    )
    stream: bool | None = cli.flag(
        None,
        "Read batches from memory or disk while training, the same ones; default where the data take more than half of "
        "a device's memory.",
        recorded=False,
    )
    log: tuple[str, ...] = cli.flag(
        (), f"Where else metrics are shown: {', '.join(flags.TRACKERS)}, with options, or module:name.", recorded=False
    )
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)

    def __post_init__(self) -> None:
        if self.checkpoint_every % self.log_every:
            raise cli.UsageError(
                f"--checkpoint_every must be a multiple of --log_every, got {self.checkpoint_every} and "
                f"{self.log_every}"
            )


def _mesh(config: Config) -> Mesh | None:
    count = config.num_devices or (jax.device_count() if parallel.is_one_of_several() else 1)
    if count == 1 and not parallel.is_one_of_several():
        return None
    if count > jax.device_count() or config.batch_size % count:
        raise cli.UsageError(
            f"--num_devices must be at most {jax.device_count()} here and divide --batch_size={config.batch_size}, "
            f"got {count}"
        )
    if parallel.is_one_of_several() and count < jax.device_count():
        raise cli.UsageError(f"--num_devices must be {jax.device_count()}, all of the processes' devices, got {count}")
    return parallel.mesh(jax.devices()[:count])


def prepare(config: Config, dataset: Dataset) -> sweep.Cell:
    """What a config trains: what can be wrong with its flags is found here, before any compute.

    Raises:
        UsageError: If a choice can't be used.
    """
    flags.check_batch_size(config.batch_size, dataset)
    execution(config)
    cell = sweep.Cell(
        config.system,
        flags.system(config, dataset),
        flags.optimizer(config),
        config.num_steps,
        config.batch_size,
        flags.augment(config.augment),
        config.seed,
        words=cli.settings(config),
    )
    with flags.flag_errors("network"):
        cell.refuse(dataset)
    return cell


def trackers(config: Config) -> list[training.Tracker]:
    """Where metrics are shown."""
    with flags.flag_errors("log"):
        return [flags.build(text, flags.TRACKERS) for text in config.log]


def execution(config: Config) -> training.Execution:
    """How it is run and watched."""
    return training.Execution(
        progress=config.progress,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        steps_per_dispatch=math.gcd(config.log_every, STEPS_PER_DISPATCH),
        mesh=_mesh(config),
        stream=config.stream,
        trackers=trackers(config),
    )


def directory(config: Config, settings: Json) -> Path:
    """Where the run is: in out_dir, or where a run of these settings is already, or at a new place in runs/."""
    if config.out_dir:
        return Path(config.out_dir).expanduser()
    name = records.name_of(settings, Path(config.dataset).stem, config.system, f"seed{config.seed}")
    store = Path(config.store).expanduser()
    return records.find(store, settings) or store / name


def run(config: Config) -> Json:
    """Trains, measures the accuracies, and writes the run directory; continues a run that was stopped.

    Returns:
        What results.json has; `run_dir` is where it is.

    Raises:
        UsageError: If a choice can't be used.
        RunRefused: If the directory is in use or belongs to another config.
        NonFiniteLoss: If training diverges.
    """
    parts = measurements.Parts(flags.dataset(config))
    cell = prepare(config, parts.dataset)
    return sweep.train(cell, parts, directory(config, cell.settings(parts)), execution(config))


def _print(config: Config) -> None:
    results = run(config)
    train, test = (100 * results[f"{part}_accuracy"] for part in ("train", "test"))
    print(
        f"{config.system}: {train:.1f} % of the training, {test:.1f} % of the test examples; see {results['run_dir']}"
    )


if __name__ == "__main__":
    process.main(Config, _print, __doc__)
