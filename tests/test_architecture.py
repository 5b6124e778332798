"""The layers of the library: imports go down only, and each outside package has one home."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"checks", "convolutions"},
    {"loops"},
    {"values", "losses"},
    {"types"},
    {"chance", "norms", "operators", "batching", "parallel", "records"},
    {"layers"},
    {"networks", "attacks", "corruptions", "datasets", "augmentation"},
    {"methods", "estimators", "bounds", "compatibility"},
    {"systems", "training", "evaluation", "certificates", "statistics", "report"},
    {"measurements"},
    {"sweep"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SOURCES = sorted(
    path for path in (ROOT / "lipjax").rglob("*.py") if path.name != "__init__.py" or path.parent.name != "lipjax"
)
HOMES = {
    "flax": {"layers", "networks"},
    "equinox": {"networks"},
    "torch": {"networks"},
    "tensorflow_datasets": {"datasets"},
    "orbax": {"records"},
    "altair": {"report"},
    "grain": {"training"},
}


def part_of(path: Path) -> str:
    """The part of lipjax that a file belongs to: the name of its top module or folder."""
    return path.relative_to(ROOT / "lipjax").with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    part = part_of(path)
    assert part in LEVEL, f"{part} has no layer: place it in DESIGN's layers and here"
    for name in imported(path):
        if not name.startswith("lipjax."):
            continue
        target = name.split(".")[1]
        assert target == part or LEVEL[target] <= LEVEL[part], (
            f"{path.name} ({part}) imports {target} from a layer above"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_outside_packages_stay_in_their_home(path: Path) -> None:
    for package, homes in HOMES.items():
        if any(name.split(".")[0] == package for name in imported(path)):
            assert part_of(path) in homes, f"{package} belongs to {homes}, not to {path}"


def test_the_library_never_imports_the_experiments() -> None:
    assert not [path for path in SOURCES if any(name.split(".")[0] == "experiments" for name in imported(path))]


def test_no_module_has_more_than_400_lines() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {name: lines for name, lines in long.items() if lines > 400}


def test_nothing_reads_a_pickle_evaluates_a_text_or_starts_a_shell() -> None:
    for path in [*SOURCES, *(ROOT / "experiments").glob("*.py")]:
        text = path.read_text()
        assert "allow_pickle=True" not in text
        assert "shell=True" not in text
        called = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
        assert not {"eval", "exec", "compile", "os.system", "os.popen"} & called
        assert not {"pickle", "cloudpickle", "dill", "joblib"} & {name.split(".")[0] for name in imported(path)}


def test_loops_around_a_users_function_have_fast_convolutions() -> None:
    looping = {"attacks", "batching", "bounds", "estimators", "methods", "training"}
    written = re.compile(r"lax\.(scan|while_loop|fori_loop|map)\(")
    found = [str(path) for path in SOURCES if part_of(path) in looping and written.search(path.read_text())]
    assert not found, "take lipjax.loops there"
