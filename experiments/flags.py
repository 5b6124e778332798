"""Flags that several commands share, and the objects that their words become."""

import dataclasses

from lipjax import augmentation, checks, datasets, networks, systems, training
from lipjax.augmentation import Augment, Augmenting
from lipjax.networks.family import Family
from lipjax.norms import Ball
from lipjax.training import Optimizer, Schedule, Tracker
from lipjax.types import Box, Dataset, Network, System

from . import language
from .cli import UsageError, flag
from .language import build, exported, flag_errors

NETWORKS = exported(networks, Family)
SYSTEMS = systems.ROWS
OPTIMIZERS = exported(training, Optimizer)
SCHEDULES = exported(training, Schedule)
AUGMENTATIONS = exported(augmentation, Augment)
TRACKERS = exported(training, Tracker)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Which examples."""

    dataset: str = flag(
        "fashion_mnist_mini",
        "fashion_mnist_mini or toy, a prepared TFDS dataset (cifar10, mnist, ...), a folder or an .npz file.",
    )
    data_dir: str | None = flag(
        None, "TFDS data directory, for datasets of TFDS; default ~/tensorflow_datasets.", recorded=False
    )
    num_train: int | None = flag(None, "Number of training examples, class-balanced; default all.", minimum=1)
    num_test: int | None = flag(None, "Number of test examples, class-balanced; default all.", minimum=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemFlags:
    """What is trained, and how it differs from plain training."""

    network: str = flag("cnn", f"One of {', '.join(NETWORKS)}; with options: cnn(channels=(32,64), dtype=bfloat16).")
    system: str = flag("vanilla", f"One of {', '.join(SYSTEMS)}, or several: parseval+laplacian(weight=1e-3).")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFlags:
    """How long, and by which steps."""

    num_steps: int = flag(1000, "Length of the training.", unit="updates", minimum=1)
    batch_size: int = flag(100, "Size of a batch.", unit="examples", minimum=1)
    optimizer: str = flag("adam", f"One of {', '.join(OPTIMIZERS)}; with options: sgd(weight_decay=1e-4).")
    learning_rate: float = flag(0.002, "Learning rate at its peak.", check=checks.positive)
    schedule: str = flag("cosine", f"One of {', '.join(SCHEDULES)}; with options: drops(at=(0.5,0.75), factor=0.1).")
    augment: str = flag("none", f"none, or one of {', '.join(AUGMENTATIONS)}, or several, joined by +.")
    seed: int = flag(0, "Seed of all that is random.", minimum=0)
    log_every: int = flag(50, "Distance of two lines of metrics.jsonl.", unit="updates", minimum=1)
    checkpoint_every: int = flag(
        500, "Distance of two checkpoints, a multiple of log_every.", unit="updates", minimum=1
    )


def dataset(flags: DataFlags) -> Dataset:
    """The dataset that the flags choose.

    Raises:
        UsageError: If there is no such dataset, or if it has fewer examples.
    """
    with flag_errors("dataset"):
        loaded = datasets.load(flags.dataset, flags.data_dir, dtype="stored")
    with flag_errors("num_train or --num_test"):
        return datasets.subset(loaded, flags.num_train, flags.num_test)


def system(flags: SystemFlags, dataset: Dataset) -> System:
    """The network and the method that the flags choose, for a dataset.

    Raises:
        UsageError: If a name or an option is unknown, or if the systems can't be combined.
    """
    mean, std = datasets.channel_statistics(dataset.train)
    with flag_errors("network"):
        network = build(flags.network, NETWORKS, num_classes=dataset.num_classes, mean=mean, std=std)
        checks.of_type(Network, network=network)
    with flag_errors("system"):
        rows = [_in_box(_row(choice), dataset.box) for choice in language.parse(flags.system)]
        return systems.combine(*rows)(network)


def _row(choice: language.Choice) -> systems.Row:
    chosen = build(choice, SYSTEMS)
    return chosen if isinstance(chosen, systems.Row) else systems.Row(method=chosen)  # somebody's own method


def has_option(name: str, option: str) -> bool:
    """Whether a system has an option of this name; somebody's own may have any."""
    return name not in SYSTEMS or option in language.all_settings(SYSTEMS[name])


def _in_box(row: systems.Row, box: Box) -> systems.Row:
    """The row with the dataset's box in place of the usual one."""
    changes = {
        name: part.replace(box=box)
        for name in ("ball",)
        if isinstance(part := getattr(row.method, name, None), Ball) and part.box == (0.0, 1.0)
    }
    return row.replace(method=row.method.replace(**changes)) if changes else row


def optimizer(flags: TrainingFlags) -> Optimizer:
    """The optimizer with its learning rate schedule that the flags choose.

    Raises:
        UsageError: If a name, an option or the learning rate can't be used.
    """
    given = {"peak": flags.learning_rate, "num_steps": flags.num_steps}
    with flag_errors("learning_rate or --schedule"):
        schedule = build(flags.schedule, SCHEDULES, **given)
    with flag_errors("optimizer"):
        found = build(flags.optimizer, OPTIMIZERS, learning_rate=schedule)
        checks.of_type(Optimizer, optimizer=found)
        return found


def augment(text: str) -> Augment | None:
    """The augmentation that a text such as `"random_crop(padding=4)+flip_left_right"` chooses, or None.

    Raises:
        UsageError: If a name or an option is unknown.
    """
    if text == "none":
        return None
    with flag_errors("augment"):
        chosen = [build(choice, AUGMENTATIONS) for choice in language.parse(text)]
        checks.of_type(tuple[Augmenting, ...], augment=tuple(chosen))
        return augmentation.chain(*chosen)


def check_batch_size(batch_size: int, dataset: Dataset) -> None:
    """Raises UsageError where a batch is larger than the training set."""
    count = len(dataset.train.labels)
    if batch_size > count:
        raise UsageError(f"--batch_size must be at most the {count} training examples, got {batch_size}")
