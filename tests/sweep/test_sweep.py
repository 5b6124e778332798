"""Sweeps: what is computed, by whom, and what is left when a process dies or a network diverges."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

from lipjax import datasets, measurements, networks, records, sweep, systems, training
from lipjax.sweep import computing
from lipjax.types import Dataset

KEY = jax.random.key(0)
ASKED = [measurements.clean(), measurements.confidence(num_points=2)]

PROGRAM = """
import os, signal, sys
import jax
sys.path.insert(0, sys.argv[1])
from test_sweep import ASKED, KEY, cells_of
from lipjax import datasets, sweep
work = sweep.Sweep(KEY, cells_of(), datasets.load("toy"), ASKED, sys.argv[2])
limit = int(sys.argv[3])
done = []
def report(place, problem):
    print(place.label, flush=True)
    done.append(place)
    if len(done) == limit:
        os.kill(os.getpid(), signal.SIGKILL)
work.work(report=report, share=(int(sys.argv[4]), 2))
"""


def cells_of(rates: tuple[float, ...] = (0.1, 0.05), seeds: range = range(2)) -> list[sweep.Cell]:
    """Two systems, with learning rates and seeds."""
    rows = {name: systems.ROWS[name](networks.mlp(2, widths=(4,))) for name in ("V", "P")}
    optimizers = {f"lr={rate}": training.sgd(rate) for rate in rates}
    return sweep.grid(rows, optimizers, num_steps=4, batch_size=8, seeds=seeds)


def program(folder: Path, limit: int = 0, index: int = 0) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    arguments = [str(Path(__file__).parent), str(folder), str(limit), str(index)]
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return datasets.load("toy")


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    sweep.run(KEY, cells_of(), dataset, ASKED, folder)
    return folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of what is trained from now on."""
    done: list[str] = []
    train = computing.train_pack

    def counted(places: list[sweep.Place], *rest):
        done.extend(f"{place.cell.name}, {place.cell.seed}" for place in places)
        return train(places, *rest)

    monkeypatch.setattr(computing, "train_pack", counted)
    return done


def contents(folder: Path) -> dict[str, bytes]:
    """The weights of all runs."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/model.npz")}


def test_a_grid_is_all_combinations_seed_by_seed() -> None:
    cells = cells_of()
    assert [cell.seed for cell in cells] == [0] * 4 + [1] * 4
    assert [cell.name for cell in cells[:4]] == ["V, lr=0.1", "V, lr=0.05", "P, lr=0.1", "P, lr=0.05"]


def test_every_answer_is_that_of_the_network_trained_by_itself(finished: Path, dataset: Dataset) -> None:
    answers = sweep.run(KEY, cells_of(), dataset, ASKED, finished)
    assert answers.sizes["system"] == 4
    system = systems.ROWS["P"](networks.mlp(2, widths=(4,)))
    for seed in (0, 1):
        model = training.fit(jax.random.key(seed), system, dataset, training.sgd(0.05), num_steps=4, batch_size=8)
        alone = measurements.measure(KEY, {"P": model}, dataset, ASKED)
        own = answers.sel(system="P, lr=0.05", seed=seed)
        np.testing.assert_array_equal(own.correct, alone.correct[0, 0])
        np.testing.assert_array_equal(own.margin, alone.margin[0, 0])


def test_what_is_there_is_not_trained_again_and_what_is_new_is(
    finished: Path, dataset: Dataset, trained: list[str]
) -> None:
    sweep.run(KEY, cells_of(), dataset, ASKED, finished)
    assert trained == []
    sweep.run(KEY, cells_of(rates=(0.1, 0.2), seeds=range(3)), dataset, ASKED, finished)
    new = {f"{system}, lr={rate}, {seed}" for system in "VP" for rate in (0.1, 0.2) for seed in range(3)}
    assert set(trained) == new - {f"{system}, lr=0.1, {seed}" for system in "VP" for seed in (0, 1)}
    assert len(trained) == 8


def test_another_measurement_trains_nothing(finished: Path, dataset: Dataset, trained: list[str]) -> None:
    answers = sweep.run(KEY, cells_of(), dataset, [measurements.certified()], finished)
    assert trained == []
    assert "certified_radius" in answers


def test_a_network_that_diverges_is_recorded_and_stops_nobody(
    dataset: Dataset, tmp_path: Path, trained: list[str]
) -> None:
    cells = cells_of(rates=(1e30, 0.1), seeds=range(1))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        answers = sweep.run(KEY, cells, dataset, ASKED, tmp_path)
    assert answers.system.values.tolist() == ["V, lr=0.1", "P, lr=0.1"]
    failed = [str(one.message) for one in told if "failed" in str(one.message)]
    assert any(text.startswith("V, lr=1e+30, seed 0 failed: training stopped") for text in failed)
    before = len(trained)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sweep.run(KEY, cells, dataset, ASKED, tmp_path)
    assert len(trained) == before


def test_cells_of_one_name_and_seed_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one name and seed: P, lr=0\.05, seed 0"):
        sweep.Sweep(KEY, [*cells_of(), cells_of()[3]], dataset, ASKED, tmp_path)


def test_a_batch_larger_than_the_training_set_is_refused_before_anything(dataset: Dataset, tmp_path: Path) -> None:
    cells = [cell._replace(batch_size=10_000) for cell in cells_of()]
    with pytest.raises(ValueError, match="batch_size must be at most"):
        sweep.run(KEY, cells, dataset, ASKED, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_processes_that_are_killed_again_and_again_leave_the_results_of_an_undisturbed_sweep(
    finished: Path, tmp_path: Path
) -> None:
    for limit in (2, 5):  # killed after so many cells, those found finished included
        killed = program(tmp_path, limit)
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
    last = program(tmp_path)
    assert len(last.communicate()[0].splitlines()) == 8
    assert last.returncode == 0
    undisturbed = {name: content for name, content in contents(finished).items() if name in contents(tmp_path)}
    assert contents(tmp_path) == undisturbed
    assert len(undisturbed) == 8


@pytest.mark.slow
def test_two_processes_share_a_sweep_and_train_each_cell_once(tmp_path: Path) -> None:
    processes = [program(tmp_path, index=index) for index in (0, 1)]
    said = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [len(lines) for lines in said] == [8, 8]
    assert len(contents(tmp_path)) == 8
    for folder in tmp_path.iterdir():
        assert [line["step"] for line in records.read_metrics(folder)] == [4]


def test_a_launcher_tells_every_line_and_how_each_process_ended() -> None:
    commands = [[sys.executable, "-c", f"print('a'); print('b'); raise SystemExit({status})"] for status in (0, 3)]
    told = list(sweep.local(commands))
    assert [said for index, said in told if index == 0] == ["a", "b", 0]
    assert [said for index, said in told if index == 1] == ["a", "b", 3]


def test_a_launcher_ends_what_is_left_when_nobody_listens() -> None:
    commands = [[sys.executable, "-c", "print(__import__('os').getpid(), flush=True); __import__('time').sleep(600)"]]
    listening = sweep.local(commands)
    _, process = next(listening)
    listening.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(process), 0)
