import jax
import numpy as np
import pytest

from experiments import corrupt, process
from lipjax import corruptions, datasets, evaluation

SMALL = ["--dataset=fashion_mnist_mini", "--num_test=12", "--noprogress"]


def command(*arguments: str) -> int:
    """The exit code of the command in this process."""
    try:
        process.main(corrupt.Config, corrupt.run, corrupt.__doc__, arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("corrupt")
    assert command(*SMALL, "--corruptions=contrast,pixelate", f"--out_dir={path}") == 0
    return path


def test_the_files_are_those_of_cifar10_c_and_hold_what_the_evaluation_sees(folder):
    test = datasets.load("fashion_mnist_mini", dtype="uint8").test
    first = test._replace(inputs=test.inputs[:12], labels=test.labels[:12])
    for name, severity in (("contrast", 2), ("pixelate", 5)):
        loaded = corruptions.load_cifar10_c(folder, name, severity)
        expected = evaluation.corrupted(jax.random.key(0), first, name, severity)
        np.testing.assert_array_equal(loaded.inputs, expected.inputs)
        np.testing.assert_array_equal(loaded.labels, first.labels)
    assert np.load(folder / "labels.npy").shape == (60,)


def test_a_contact_sheet_is_drawn_and_nothing_half_written_is_left(folder):
    assert (folder / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")
    assert not list(folder.glob("*.part*"))


def test_the_same_command_makes_only_what_is_missing(folder):
    kept = (folder / "contrast.npy").stat().st_mtime_ns
    before = (folder / "pixelate.npy").read_bytes()
    (folder / "pixelate.npy").unlink()
    assert command(*SMALL, "--corruptions=contrast,pixelate", f"--out_dir={folder}") == 0
    assert (folder / "contrast.npy").stat().st_mtime_ns == kept
    assert (folder / "pixelate.npy").read_bytes() == before


def test_a_folder_of_another_seed_is_refused(folder, capsys):
    assert command(*SMALL, "--corruptions=contrast", "--seed=1", f"--out_dir={folder}") == 2
    assert "seed was 0, now 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--corruptions=rain", "all, benchmark, cifar10_c, small, gaussian_noise"),
        ("--severities=1,6", "--severities must be among 1, 2, 3, 4, 5"),
        ("--dataset=toy", "--dataset:"),
    ],
)
def test_a_wrong_flag_stops_before_any_work(flag, message, tmp_path, capsys):
    assert command(flag, f"--out_dir={tmp_path / 'none'}") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
