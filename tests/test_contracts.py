"""Every public constructor of a role has a row in the contract table of that role."""

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from lipjax import attacks, estimators, methods
from lipjax.types import Attack, BoundaryAttack, Estimator, Method

TABLES: dict[str, tuple[ModuleType, tuple[type, ...], str, str]] = {
    "attacks": (attacks, (Attack, BoundaryAttack), "attacks/test_attack_contract.py", "ROWS"),
    "estimators": (estimators, (Estimator,), "estimators/test_estimator_contract.py", "ROWS"),
    "methods": (methods, (Method,), "methods/test_method_contract.py", "METHODS"),
}


def rows_of(path: str, table: str) -> list[str]:
    spec = importlib.util.spec_from_file_location(Path(path).stem, Path(__file__).parent / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(getattr(module, table))


def constructors_of(package: ModuleType, roles: tuple[type, ...]) -> list[str]:
    """The public values of the roles; what is written with a capital is a role itself."""
    classes = {name: thing for name, thing in vars(package).items() if inspect.isclass(thing)}
    return [name for name, thing in classes.items() if issubclass(thing, roles) and name[0].islower()]


@pytest.mark.parametrize("part", TABLES)
def test_every_public_constructor_has_a_row(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, roles, path, table = TABLES[part]
    monkeypatch.syspath_prepend(Path(__file__).parent / Path(path).parent)  # tables import from their neighbours
    rows, constructors = rows_of(path, table), constructors_of(package, roles)
    assert len(constructors) > 3
    missing = [name for name in constructors if not any(row == name or row.startswith(f"{name}_") for row in rows)]
    assert missing == []
