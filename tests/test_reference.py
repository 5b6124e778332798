"""The reference: every public function, class and value shows how it is used, and is called with few arguments."""

import importlib
import inspect
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipjax.values import Value

PAGES = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "reference.py"))


def asked(module: str) -> Iterator[tuple[str, Any]]:
    """The functions and classes that a module exports, and of values their classes, but no constants and no aliases."""
    home = importlib.import_module(f"lipjax.{module}")
    for name in PAGES["public_names"](module):
        thing = getattr(home, name)
        thing = type(thing) if isinstance(thing, Value) else thing
        is_own = str(getattr(thing, "__module__", "")).startswith("lipjax")
        if is_own and (inspect.isclass(thing) or inspect.isfunction(thing) or hasattr(thing, "__wrapped__")):
            yield name, thing


def has_example(thing: Any) -> bool:
    """Whether its docstring, or that of a member of a class, has one."""
    members = vars(thing).values() if inspect.isclass(thing) else ()
    return any(">>>" in (getattr(part, "__doc__", None) or "") for part in (thing, *members))


@pytest.mark.parametrize("module", PAGES["modules"]())
def test_every_public_function_class_and_value_has_an_example(module: str) -> None:
    assert not [name for name, thing in asked(module) if not has_example(thing)]


def parameter_lists(thing: Any) -> Iterator[inspect.Signature]:
    """Signatures of a function, or of the methods of a class; the fields of a record are no list of parameters."""
    functions = vars(thing).values() if inspect.isclass(thing) else [thing]
    for function in functions:
        if callable(function) and not getattr(function, "__name__", "__").startswith("__"):
            yield inspect.signature(function)


@pytest.mark.parametrize("module", PAGES["modules"]())
def test_no_public_function_has_more_than_eight_parameters(module: str) -> None:
    things = {name: parameter_lists(thing) for name, thing in asked(module)}
    assert not [name for name, lists in things.items() if any(len(each.parameters) > 8 for each in lists)]


def test_an_example_is_asked_for_and_seen() -> None:
    def without() -> None:
        """Nothing is shown."""

    assert not has_example(without)
    assert {name for name, _ in asked("norms")} >= {"l2", "Ball", "masked"}
    assert "NAMES" not in dict(asked("norms"))
