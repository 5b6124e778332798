"""Cells that are trained by one compiled call: the same store as by separate trainings, whatever happens to one."""

from pathlib import Path

import jax
import numpy as np
import pytest

from lipjax import datasets, measurements, methods, networks, norms, records, sweep, training, values
from lipjax.sweep import computing, packs
from lipjax.training import loop, program
from lipjax.types import Dataset, Method, System

STEPS, KEY = 6, jax.random.key(0)
EXECUTION = training.Execution(progress=False, log_every=2, checkpoint_every=2, steps_per_dispatch=2)


class touchy(Method):
    """Becomes NaN from the fourth update on, if it is told to."""

    fails: float = values.number(0.0)

    def penalize(self, key: jax.Array, model: object, batch: object, output: object) -> dict:
        return {"touched": jax.numpy.where(self.fails > 0, jax.numpy.log(3.0 - self.fails), 0.0)}


def cell(seed: int, scale: float = 1.0, fails: float = 0.0) -> sweep.Cell:
    """A cell of which every number depends on the scale."""
    method = methods.chain(
        methods.adversarial(norms.l2.ball(0.3 * scale, box=None), num_steps=1),
        methods.parseval(0.01 * scale),
        touchy(fails),
    )
    optimizer = training.adam(training.cosine(0.01 * scale, STEPS))
    system = System(networks.mlp(2, widths=(4,)), method)
    return sweep.Cell(f"scale {scale:g}" + ", poisoned" * (fails > 0), system, optimizer, STEPS, 8, seed=seed)


CELLS = [cell(0), cell(1), cell(1, 0.5)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return datasets.load("toy")


def swept(folder: Path, dataset: Dataset, pack: str, cells: list[sweep.Cell] = CELLS) -> dict[str, str]:
    return sweep.Sweep(KEY, cells, dataset, [measurements.clean()], folder, EXECUTION, pack).work()


@pytest.fixture(scope="module")
def separate(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the cells, trained one by one."""
    folder = tmp_path_factory.mktemp("separate")
    assert swept(folder, dataset, "none") == {}
    return folder


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """How, and how many at once, are trained from now on."""
    done: list[tuple[str, int]] = []
    advance = loop.advance

    def counted(program: object, keys: program.Keys, *rest, way: str, **options):
        done.append((way, 1 if way == "alone" else len(keys.step)))
        return advance(program, keys, *rest, way=way, **options)

    monkeypatch.setattr(loop, "advance", counted)
    return done


def weights(store: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in store.glob("*/model.npz")}


def same_store(first: Path, second: Path) -> bool:
    """Whether two stores have the same weights, metrics and answers, to the bit."""
    found = [
        {str(path.relative_to(store)): path.read_bytes() for kind in kinds for path in store.glob(kind)}
        for store in (first, second)
        for kinds in [("*/model.npz", "*/config.json", "*/metrics.jsonl", "*/measurements/*.nc")]
    ]
    return len(found[0]) > 0 and found[0] == found[1]


def test_one_after_another_in_one_program_leaves_the_store_of_separate_trainings(
    separate: Path, dataset: Dataset, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    assert swept(tmp_path, dataset, "map") == {}
    assert trained == [("map", 3)] * 3
    assert same_store(tmp_path, separate)


def test_side_by_side_they_are_the_same_up_to_rounding(separate: Path, dataset: Dataset, tmp_path: Path) -> None:
    assert swept(tmp_path, dataset, "vmap") == {}
    runs = sorted(path.name for path in separate.iterdir())
    assert runs == sorted(path.name for path in tmp_path.iterdir())
    for run in runs:
        with np.load(separate / run / "model.npz") as one, np.load(tmp_path / run / "model.npz") as other:
            for name in one.files:
                np.testing.assert_allclose(one[name], other[name], atol=1e-5)


@pytest.mark.parametrize("way", ["alone", "map"])
def test_other_seeds_rates_weights_and_radii_compile_nothing_again(dataset: Dataset, way: program.Way) -> None:
    def train(*cells: sweep.Cell) -> None:
        trainees = [training.Trainee(jax.random.key(one.seed), one.system, one.optimizer) for one in cells]
        training.fit_together(
            trainees, dataset, num_steps=STEPS, batch_size=8, way=way, execution=EXECUTION._replace(checkpoint_every=4)
        )

    number = 1 if way == "alone" else 3
    train(*CELLS[:number])
    before = program.advance._cache_size()
    train(*[cell(seed, 0.25) for seed in range(7, 7 + number)])
    assert program.advance._cache_size() == before


def test_a_pack_that_was_stopped_continues_whatever_each_had_reached(
    separate: Path, dataset: Dataset, tmp_path: Path, trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = sweep.Sweep(KEY, CELLS, dataset, [], tmp_path).places
    save = records.Run.save

    def dying(run: records.Run, step: int, state: object) -> None:
        save(run, step, state)
        if step == 4 and run.path == two.path:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records.Run, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            swept(tmp_path, dataset, "map")
    assert [(place.path / "checkpoints" / "4").exists() for place in (one, two, three)] == [True, True, False]
    trained.clear()
    assert swept(tmp_path, dataset, "map") == {}
    assert sorted(set(trained)) == [("alone", 1), ("map", 2)]
    assert same_store(tmp_path, separate)


def test_one_that_diverges_is_recorded_and_stops_nobody(
    separate: Path, dataset: Dataset, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    failures = swept(tmp_path, dataset, "map", [*CELLS, cell(0, fails=5.0)])
    assert failures == {"scale 1, poisoned, seed 0": "training stopped: touched is not finite at step 1"}
    good = {name: content for name, content in weights(tmp_path).items() if name in weights(separate)}
    assert good == weights(separate)
    assert [one["problem"] for one in map(records.read_json, tmp_path.glob("*/failed.json"))] == [*failures.values()]
    before = len(trained)
    assert swept(tmp_path, dataset, "map", [*CELLS, cell(0, fails=5.0)]) == failures
    assert len(trained) == before


def test_a_pack_that_does_not_fit_the_memory_is_halved(
    separate: Path, dataset: Dataset, tmp_path: Path, trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = loop.advance

    def small(program: object, keys: program.Keys, *rest, **options):
        if keys.step.size > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")
        return advance(program, keys, *rest, **options)

    monkeypatch.setattr(loop, "advance", small)
    assert swept(tmp_path, dataset, "map") == {}
    assert trained == [("map", 2)] * 3 + [("alone", 1)] * 3
    assert same_store(tmp_path, separate)


def test_what_another_process_holds_is_left_to_it(dataset: Dataset, tmp_path: Path) -> None:
    work = sweep.Sweep(KEY, CELLS, dataset, [], tmp_path)
    parts = measurements.Parts(dataset)
    with records.hold(work.places[1].path):
        trained = sweep.train_pack(work.places, parts, EXECUTION, "map")
    assert [place.label for place, _ in trained] == ["scale 1, seed 0", "scale 0.5, seed 1"]
    assert [sweep.is_trained(place.path) for place in work.places] == [True, False, True]


def test_cells_that_can_not_be_packed_are_trained_by_themselves(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_pack = computing.train_pack

    def only_alone(places: list[sweep.Place], *rest):
        assert len(places) == 1, "a method that can't be packed"
        return train_pack(places, *rest)

    monkeypatch.setattr(computing, "train_pack", only_alone)
    assert swept(tmp_path, dataset, "map", CELLS[:2]) == {}


def test_packs_are_cells_of_one_program_and_processes_get_parts_of_them(dataset: Dataset, tmp_path: Path) -> None:
    other = cell(0)._replace(name="longer", num_steps=8)
    places = sweep.Sweep(KEY, [CELLS[0], other, *CELLS[1:]], dataset, [], tmp_path).places
    names = [[place.label for place in pack] for pack in packs.grouped(places, 2)]
    assert names == [["scale 1, seed 0", "scale 1, seed 1"], ["scale 0.5, seed 1"], ["longer, seed 0"]]


def test_how_they_are_trained_is_tried_once_and_recorded(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, tries = measurements.Parts(dataset), []

    def pace(cells: list[sweep.Cell], way: str, *rest) -> tuple[float, float]:
        tries.append(way)
        return 1.0, {"alone": 20.0, "map": 50.0, "vmap": 55.0}[way]

    monkeypatch.setattr(packs, "_pace", pace)
    places = sweep.Sweep(KEY, CELLS, dataset, [], tmp_path).places
    assert packs.way_of("auto", places, parts, EXECUTION, tmp_path) == "alone"  # on a CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")

    def way() -> str:
        return packs.way_of("auto", places, parts, EXECUTION, tmp_path)

    assert [way(), way()] == ["map", "map"]
    assert tries == ["alone", "vmap", "map"]
    (record,) = records.read_json(tmp_path / "packs.json").values()
    assert record["seconds per step"] == {"alone": 60.0, "map": 50.0, "vmap": 55.0}


def test_where_one_way_compiles_for_longer_than_it_trains_no_other_is_tried(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    places = sweep.Sweep(KEY, CELLS, dataset, [], tmp_path).places
    assert packs.way_of("auto", places, measurements.Parts(dataset), EXECUTION, tmp_path) == "alone"
    (record,) = records.read_json(tmp_path / "packs.json").values()
    assert set(record["seconds per step"]) == {"alone"}
    assert 0 < record["seconds per step"]["alone"] < 1


def test_trainings_of_several_programs_are_refused(dataset: Dataset) -> None:
    systems = [System(networks.mlp(2, widths=(width,)), Method()) for width in (2, 3)]
    trainees = [training.Trainee(KEY, system, training.sgd(0.1)) for system in systems]
    with pytest.raises(ValueError, match="differ in numbers and keys"):
        training.fit_together(trainees, dataset, num_steps=2, batch_size=8)
