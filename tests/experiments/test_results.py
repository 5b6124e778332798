"""The page of results says what its tables say, and the verdicts are those of planted tables."""

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import xarray

from experiments import findings, process, results, results_figures, results_page, train, zoos
from experiments.findings import alpha
from lipjax import corruptions, records
from lipjax.records import answers

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "NUM_RESAMPLES", 20)


def planted() -> pandas.DataFrame:
    """Networks of the design of which steep ones are fragile, apart from fog; the rest is noise."""
    cells = pandas.DataFrame(zoos.design("embedded")).query("seed == 0")
    rows = cells[["name", "family", "variant", "seed"]].reset_index(drop=True)
    steep, count = RNG.permutation(len(rows)) / len(rows), len(rows)
    columns = {name: RNG.uniform(1, 2, count) for name in results_page.BASELINES if name != "alpha over margin"}
    columns |= {alpha(what, r, of): RNG.uniform(1, 2, count) for what in ("mean", "max") for r in findings.RADII
                for of in ("probabilities", "logits")}  # fmt: skip
    columns |= {f"attack_accuracy[{attack}]": 0.5 - 0.3 * steep for attack in findings.ATTACKS.values()}
    columns |= {f"corruption_accuracy[{name}]": RNG.uniform(0.3, 0.8, count) for name in corruptions.BENCHMARK}
    columns |= {f"family_accuracy[{name}]": RNG.uniform(0.3, 0.8, count) for name in ("noise", "blur")}
    columns |= {"clean_accuracy": np.full(count, 0.875), "mean_corruption_accuracy": 0.75 - 0.25 * steep}
    columns |= {alpha(): 1 + steep, "corruption_accuracy[fog]": 0.25 + 0.25 * steep}
    return pandas.concat([rows, pandas.DataFrame(columns)], axis=1)


def test_planted_relations_get_their_verdicts_and_noise_gets_none() -> None:
    kept, excluded = findings.prepared(planted())
    verdicts = {one.name: findings.verdict(one.test(kept), one.sign) for one in findings.HYPOTHESES}
    assert len(kept) == 48
    assert excluded.empty
    assert verdicts["H1"] == verdicts["H2"] == verdicts["S3"] == "reproduced"
    kept["relative"] *= -1
    opposite = findings.HYPOTHESES[0]
    assert findings.verdict(opposite.test(kept), opposite.sign) == "opposite"
    kept["relative"] = RNG.normal(size=48)
    assert findings.verdict(opposite.test(kept), opposite.sign) == "not reproduced"


def test_networks_at_chance_and_failed_ones_are_excluded() -> None:
    rows = planted()
    rows.loc[3, "clean_accuracy"] = 0.2
    rows.loc[5, rows.columns[4:]] = np.nan
    kept, excluded = findings.prepared(rows)
    assert [*excluded.index] == [3, 5]
    assert len(kept) == 46


def test_an_order_is_reproduced_where_every_pair_is_as_expected() -> None:
    falling = np.array([[5.0, 4, 3, 2, 1], [6, 5, 3, 2, 1]])
    assert findings.agreement(falling).value == pytest.approx(1)
    assert findings.agreement(-falling).high == pytest.approx(-1)
    assert findings.agreement(falling[:1, [1, 0, 2, 3, 4]]).value == pytest.approx(0.8)


def test_a_curve_saturates_where_it_reaches_99_percent_of_its_end() -> None:
    rows = planted()
    for radius, value in zip(findings.RADII, (1, 2, 2.97, 2.98, 3, 3), strict=True):
        rows[alpha("max", radius)] = value
    assert set(findings.prepared(rows)[0].saturation) == {0.25}


def test_a_page_is_checked_against_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_figures, "figures", lambda tables: {})
    (tmp_path / "results").mkdir()
    planted().to_csv(tmp_path / "results" / "embedded.csv", index=False)
    results.run(results.Config(docs=str(tmp_path)))
    results.run(results.Config(docs=str(tmp_path), check=True))
    page = tmp_path / "RESULTS.md"
    page.write_text(page.read_text().replace("48 networks of", "47 networks of"))
    with pytest.raises(process.Incomplete, match=r"-47 networks of 48"):
        results.run(results.Config(docs=str(tmp_path), check=True))


@pytest.mark.slow
def test_the_page_in_docs_is_what_its_tables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "NUM_RESAMPLES", 1000)
    results.run(results.Config(docs=str(Path(__file__).parents[2] / "docs"), check=True))


def test_the_dots_of_the_figure_are_the_taus_of_the_table() -> None:
    rows = planted()
    drawn = results_figures.figures({"embedded": rows})["embedded_corruptions"].to_dict()
    dots = {(dot["target"], dot["measure"]): dot for dot in json.loads(drawn["layer"][1]["data"]["values"])}
    expected = findings.tau(findings.prepared(rows)[0], alpha(), "relative fog")
    assert dots["fog", "alpha"]["tau"] == pytest.approx(expected.value, rel=1e-5) == 1
    assert dots["fog", "alpha"]["low"] == pytest.approx(expected.low, rel=1e-5)


def _run(folder: Path, cell: dict, right: float) -> None:
    flags = {flag: value for flag, value in cell.items() if flag not in results.PLACE}
    (folder / "measurements").mkdir(parents=True)
    records.write_json(folder / "flags.json", vars(train.Config(**flags)))
    slopes = (("constant", "point", "radius"), np.full((1, 2, 1), right))
    found = {
        "correct": ("example", RNG.uniform(size=8) < right),
        "corrupted_correct": (("corruption", "severity", "example"), np.ones((1, 1, 8))),
        "alpha": slopes,
        "alpha_upper": slopes,
    }
    coordinates = {"constant": [findings.CONSTANTS["probabilities"]], "corruption": ["fog"], "radius": [0.05]}
    answers.write(folder / "measurements" / "all.nc", xarray.Dataset(found, coordinates), {})


def test_finished_networks_of_the_design_are_collected_in_its_order_and_join_those_known(tmp_path: Path) -> None:
    design = zoos.design("embedded")
    for number in (30, 1, 60):
        _run(tmp_path / f"run{number}", design[number], number / 100)
    _run(tmp_path / "another", design[2] | {"num_steps": 7}, 0.5)
    records.write_json(tmp_path / "run1" / "failed.json", {"problem": "not finite"})
    rows = results.collected(tmp_path, "embedded")
    assert [*rows.name] == [design[number]["name"] for number in (1, 30, 60)]
    assert [*rows.seed] == [0, 0, 1]
    assert rows[alpha()].tolist() == pytest.approx([np.nan, 0.3, 0.6], nan_ok=True)

    table = tmp_path / "embedded.csv"
    results._write(table, rows.iloc[1:].assign(**{alpha(): [0.7, 0.8]}))
    longer = results.extended(table, rows.iloc[:2], "embedded")
    assert [*longer.name] == [*rows.name]
    assert longer[alpha()].tolist() == pytest.approx([np.nan, 0.3, 0.8], nan_ok=True)


def test_the_zoos_have_48_configurations_that_differ() -> None:
    for zoo, count in (("embedded", 240), ("cifar10", 48)):
        design = zoos.design(zoo)
        keys = {results._key(vars(train.Config(**cell))) for cell in getattr(zoos, zoo)() if cell.pop("name")}
        assert len(design) == len(keys) == count
        assert len({cell["name"] for cell in design}) == 48
