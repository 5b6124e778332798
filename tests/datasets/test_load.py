"""What `load` takes a name for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lipjax import datasets


def test_a_wrong_dtype_is_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="dtype must be one of float32, uint8, stored; got 'float64'"):
        datasets.load("./nowhere", dtype="float64")


@pytest.mark.parametrize("name", ["huggingface:mnist", "kubric:movi", "robotics:a/b:1.0.0", "gs://bucket/a"])
@pytest.mark.parametrize("load", [datasets.load, datasets.load_test])
def test_names_that_tfds_looks_up_in_the_network_are_refused_before_it_is_imported(name, load, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lipjax.datasets.tfds", None)  # importing it would raise
    with pytest.raises(ValueError, match=f"'{name}': only a version may follow a colon"):
        load(name)


def test_levels_take_a_quarter_of_the_memory() -> None:
    levels, pixels = (datasets.load("fashion_mnist_mini", dtype=dtype).train.inputs for dtype in ("uint8", "float32"))
    assert 4 * levels.nbytes == pixels.nbytes
    np.testing.assert_array_equal(levels / np.float32(255), pixels)


def test_a_folder_in_the_working_directory_does_not_hide_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy").mkdir()
    assert datasets.load("toy").box == (-2.0, 1.0)
    with pytest.raises(FileNotFoundError, match="there is no folder toy/train"):
        datasets.load("./toy")


def test_the_embedded_datasets_need_no_tensorflow_datasets() -> None:
    script = (
        "import sys; from lipjax import datasets; datasets.load('fashion_mnist_mini'); datasets.load('toy'); "
        "sys.exit('tensorflow_datasets' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
