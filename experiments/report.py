"""A page of any number of runs: verdict, leaderboard, linked figures, gallery and settings, in one file for a browser.

    python -m experiments.report runs/*
    python -m experiments.report runs/cifar10-* --out=cifar10.html --title="CIFAR-10"

Takes the directories of trained and measured networks, as experiments.train, study, sweep, robustness and
local_lipschitz leave them, and the pictures of experiments.compatibility and experiments.corrupt. The file needs no
network and nothing beside it. What is missing or damaged is said on it.
"""

import base64
import dataclasses
import glob
import shlex
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipjax import measurements, records, report
from lipjax.report import Picture, RunOf

from . import cli, process

if TYPE_CHECKING:
    import xarray

PICTURES = {
    "*_steepest.svg": "Steepest training images, and the perturbed images that show it",
    "*_images.svg": "Test images, corrupted and attacked, with predictions",
    "compatibility.svg": "Pairs of examples that forbid a Lipschitz constant",
    "closest_pairs.svg": "Closest pairs of different classes",
    "contact_sheet.svg": "Corruptions and severities",
}
"""Pictures that commands leave in their directories."""
MOST_PICTURES = 60
MOST_STEPS = 60
"""Points of a drawn training curve."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Which runs, and where their page is written."""

    runs: tuple[str, ...] = cli.flag(("runs/*",), "Run directories, or patterns of them.", positional=True)
    out: str = cli.flag("report.html", "Where the page is written.", recorded=False)
    title: str = cli.flag("Steepness and robustness", "Title of the page.", recorded=False)
    certified_radii: tuple[float, ...] = cli.flag(
        (36 / 255,), "Radii in l2 of the certified accuracies.", unit="pixels in [0, 1]"
    )


def figures_of(answers: "xarray.Dataset", certified_at: Sequence[float]) -> "xarray.Dataset":
    """Answers as the page takes them: their summary, and what is drawn point by point."""
    return report.frames.joined(measurements.summary(answers, certified_at=certified_at), answers)


def run_of(path: Path, system: str, seed: int) -> RunOf:
    """Where the numbers of a run come from; what can't be read of it is left out."""
    flags = {name: value for name, value in _read(path / "flags.json").items() if value is not None}
    environment = _read(path / "results.json").get("environment", {})
    versions = ", ".join(f"{name} {number}" for name, number in dict(environment.get("versions") or {}).items())
    made = {name: environment[name] for name in ("date", "git_commit", "device", "python") if environment.get(name)}
    line = shlex.join(["python", "-m", f"{__package__}.train", *cli.written_flags(flags)]) if flags else ""
    settings = flags | made | ({"versions": versions} if versions else {})
    return RunOf(system, seed, path.name, settings, line, _losses(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(records.read_json(path))
    except (OSError, ValueError, TypeError):
        return {}


def _losses(path: Path) -> list[tuple[float, float]]:
    try:
        lines = [(float(line["step"]), float(line["loss"])) for line in records.read_metrics(path) if "loss" in line]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return lines[:: max(1, len(lines) // MOST_STEPS)]


def write(
    path: Path,
    figures: "xarray.Dataset",
    runs: Iterable[tuple[str, int, Path]],
    *,
    title: str = Config.title,
    about: str = "",
    folders: Iterable[Path] = (),
    problems: Sequence[str] = (),
    commands: Sequence[str] = (),
) -> Path:
    """Writes the page of runs.

    Args:
        path: Where.
        figures: Made by `figures_of`.
        runs: System, seed and directory of each run.
        title: Title of the page.
        about: A line below it.
        folders: Other directories with pictures.
        problems: What is missing or damaged.
        commands: Commands that make all of it again.
    """
    listed = list(runs)
    pictures = [picture for system, seed, folder in listed for picture in _pictures(folder, f"{system}, seed {seed}")]
    pictures += [picture for folder in folders for picture in _pictures(folder, folder.name)]
    left = [f"{len(pictures) - MOST_PICTURES} more pictures are not shown."] if len(pictures) > MOST_PICTURES else []
    return report.page(
        path,
        figures,
        title=title,
        about=about,
        runs=[run_of(folder, system, seed) for system, seed, folder in listed],
        pictures=pictures[:MOST_PICTURES],
        problems=[*problems, *left],
        commands=commands,
    )


def _pictures(folder: Path, of: str) -> list[Picture]:
    found = [(words, path) for pattern, words in PICTURES.items() for path in sorted(folder.glob(pattern))]
    return [Picture(f"{words} ({of})", _url(path)) for words, path in found]


def _url(path: Path) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"


def read(
    paths: Iterable[Path], certified_at: Sequence[float]
) -> "tuple[dict[tuple[str, int], tuple[Path, xarray.Dataset]], list[Path], list[str]]":
    """The runs among directories by system and seed, directories with pictures only, and what is wrong."""
    found: dict[tuple[str, int], tuple[Path, xarray.Dataset]] = {}
    others, problems = [], []
    for path in paths:
        if not path.is_dir():
            problems.append(f"{path} is no directory.")
            continue
        with warnings.catch_warnings(record=True):  # what is damaged is set aside, and told below
            warnings.simplefilter("always")
            try:
                answers = records.answers_of(path)
                figures = None if answers is None else figures_of(answers, certified_at)
            except Exception as error:  # one run that can't be read hides no other
                problems.append(f"{path.name} can't be read: {type(error).__name__}: {error}")
                continue
        problems += [
            f"{path.name}: {damaged.stem} is damaged." for damaged in sorted(path.glob("measurements/*.nc.damaged"))
        ]
        flags = _read(path / "flags.json")
        if figures is None:
            others.append(path)
            if flags:
                problems.append(f"{path.name}: nothing was measured of this run.")
            continue
        name, seed = str(flags.get("system", path.name)), int(flags.get("seed", 0))
        cell = (name, seed) if (name, seed) not in found else (f"{name} ({path.name})", seed)
        found[cell] = (path, figures)
    return found, others, problems


def run(config: Config) -> Path:
    """Reads runs and writes their page.

    Raises:
        UsageError: If nothing was measured of any of them.
    """
    # A name that fits nothing is kept: that it is missing is said on the page.
    paths = [Path(name) for pattern in config.runs for name in sorted(glob.glob(pattern)) or [pattern]]
    found, others, problems = read(paths, config.certified_radii)
    if not found:
        raise cli.UsageError(f"nothing was measured of any of {len(paths)} directories; {' '.join(problems[:5])}")
    data = {str(_read(path / "flags.json").get("dataset")) for path, _ in found.values()}
    if len(data) > 1:
        problems.append(f"Runs of several datasets are compared: {', '.join(sorted(data))}.")
    combined = records.combined({cell: figures for cell, (_, figures) in found.items()})
    written = write(
        Path(config.out),
        combined,
        [(*cell, path) for cell, (path, _) in found.items()],
        title=config.title,
        about=f"{report.counted(len(found), 'run')} on {', '.join(sorted(data))}",
        folders=others,
        problems=problems,
    )
    print(f"{written}: {report.counted(len(found), 'run')}, {written.stat().st_size / 1e6:.1f} MB")
    for problem in problems:
        print(f"note: {problem}")
    return written


if __name__ == "__main__":
    process.main(Config, run, __doc__)
