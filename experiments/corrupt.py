"""A corrupted dataset on disk, for use by other frameworks: the test images under every corruption and severity.

    python -m experiments.corrupt --dataset=cifar10 --data_dir=DIR --out_dir=runs/cifar10_c

Writes in the layout of the published CIFAR-10-C: for each corruption `NAME.npy`, uint8 images with one block of all
test images per severity, and `labels.npy`, the labels of all blocks; `lipjax.corruptions.load_cifar10_c` reads it.
Beside them `contact_sheet` (PNG, SVG, PDF): one image under all of them. A file appears when it is complete, and the
same command continues with those that are missing. `digests.json` has their SHA-256: a file that has changed since it
was written is set aside, as `NAME.npy.damaged`, and computed again.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from lipjax import corruptions, datasets, evaluation, records, report
from lipjax.types import Batch

from . import cli, corruption_sets, process
from .language import flag_errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the experiment."""

    dataset: str = cli.flag(
        "fashion_mnist_mini", "An embedded dataset, one of TFDS, a folder or an .npz file of images."
    )
    data_dir: str | None = cli.flag(None, "TFDS data directory, for datasets of TFDS; default ~/tensorflow_datasets.")
    corruptions: tuple[str, ...] = cli.flag(("all",), corruption_sets.HELP, recorded=False)
    severities: tuple[int, ...] = cli.flag(
        (1, 2, 3, 4, 5), "Severities, 1 to 5, in the order of the blocks.", minimum=1
    )
    num_test: int | None = cli.flag(None, "Only the first test images; default all.", minimum=1)
    seed: int = cli.flag(0, "Seed of the corruptions.", minimum=0)
    out_dir: str = cli.flag("runs/corrupt", "The folder that is written.", recorded=False)
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)

    def __post_init__(self) -> None:
        """Refuses values that can't be used."""
        if not self.severities or max(self.severities) > 5:
            raise cli.UsageError("--severities must be among 1, 2, 3, 4, 5")


def load(config: Config) -> Batch:
    """The test images as levels, with their labels."""
    with flag_errors("dataset"):
        test = datasets.load(config.dataset, config.data_dir, dtype="uint8").test
        corruptions.draw(jax.random.key(0), test.inputs.shape[1:], "contrast", 1)  # refuses what is no image
    first = slice(config.num_test)
    return Batch(test.inputs[first], test.labels[first])


def write_array(path: Path, array: np.ndarray, digests: records.Journal) -> None:
    """Writes an .npy file that is there whole or not at all; its digest comes first, so that none is ever without."""
    with records.replacing(path) as partial:
        np.save(partial, array)
        digests.put(path.name, records.digest_of_file(partial))


def _is_good(path: Path, digests: records.Journal) -> bool:
    """Whether an array is there as it was written; one that is not is set aside."""
    if not path.exists():
        return False
    if digests.known(path.name) == records.digest_of_file(path):
        return True
    records.set_aside(path, "it has changed since it was written", "computed again")
    return False


def contact_sheet(folder: Path, config: Config, clean: UInt8[np.ndarray, "height width channel"]) -> Any:
    """The first test image: a row per corruption, clean and then at each severity."""
    names = [str(name) for name in corruption_sets.names(config.corruptions)]
    blocks = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names]
    shown = [[clean / 255, *(own[:: len(own) // len(config.severities)] / 255)] for own in blocks]
    columns = ["clean", *(f"severity {severity}" for severity in config.severities)]
    size = max(24, min(72, 900 // len(names)))  # on one screen
    sheet = report.image_grid(shown, rows=[name.replace("_", " ") for name in names], columns=columns, size=size)
    return report.finished(sheet, f"Corruptions of {config.dataset}", "the first test image")


def run(config: Config) -> list[Path]:
    """Writes what is missing; returns the paths of all array files."""
    names, test = corruption_sets.names(config.corruptions), load(config)
    with records.open_run(config.out_dir, cli.settings(config)) as folder_run:
        folder = folder_run.path
        digests = records.Journal(folder / "digests.json")
        write_array(folder / "labels.npy", np.tile(test.labels, len(config.severities)), digests)
        asked = {folder / f"{name}.npy": name for name in names}
        hidden = None if config.progress is None else not config.progress
        for path in tqdm([path for path in asked if not _is_good(path, digests)], "corruptions", disable=hidden):
            key = jax.random.key(config.seed)
            blocks = [evaluation.corrupted(key, test, asked[path], severity) for severity in config.severities]
            write_array(path, np.concatenate([block.inputs for block in blocks]), digests)
        report.save(contact_sheet(folder, config, np.asarray(test.inputs[0])), folder / "contact_sheet")
    return [folder / "labels.npy", *asked]


if __name__ == "__main__":
    process.main(Config, run, __doc__)
