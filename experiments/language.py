"""The language of flags: the text form of lipjax's values.

A value is written as its name, with settings in parentheses where the defaults won't do; systems that are combined are
joined by a plus sign:

    --network="wide_resnet(depth=16, width=4, dtype=bfloat16)"
    --system="parseval+laplacian(weight=1e-3)+adversarial(norm=l2, radius=128/255)"
    --attacks="pgd(num_steps=50), my_package.attacks:mine(strength=2)"

Settings are the fields of the value, or of the values in it: `radius` of an attack is that of its ball. Names are those
that a package of lipjax exports, or `module:name` for what is somebody's own. Nothing is ever evaluated.
"""

import ast
import dataclasses
import inspect
import itertools
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from lipjax import attacks, estimators, evaluation, layers, norms, values
from lipjax.types import Attack, BoundaryAttack, Estimator
from lipjax.values import Value

from .cli import UsageError

_COLON = "_colon_"
_LONGEST, _DEEPEST, _MOST_ALTERNATIVES = 10_000, 100, 10_000
FORM = "name, name(option=value, ...), or several of them joined by +"


class Choice(NamedTuple):
    """A name with its settings, as written."""

    name: str
    settings: dict[str, Any]


def parse(text: str) -> list[Choice]:
    """The choices of a text such as `"parseval+laplacian(weight=1e-3)"`.

    Raises:
        UsageError: If the text is not of that form.

    Examples:
        >>> parse("parseval+adversarial(norm=l2, radius=1/4)")
        [Choice(name='parseval', settings={}),
         Choice(name='adversarial', settings={'norm': 'l2', 'radius': 0.25})]
    """
    tree = _tree(text)
    try:
        return [_choice(term) for term in _terms(tree)]
    except (TypeError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise UsageError(f"{text[:200]!r} is not of the form {FORM}") from error


def only(text: str) -> Choice:
    """The choice of a text that may have one only.

    Raises:
        UsageError: If it has several, or is not of the form of `parse`.
    """
    choice, *others = parse(text)
    if others:
        raise UsageError(f"{text!r} has several names, and one is possible")
    return choice


def alternatives(text: str) -> dict[str, str]:
    """The choices of a text with alternatives in square brackets, by names that show what varies among them.

    Raises:
        UsageError: If the text is not of the form of `parse`.

    Examples:
        >>> alternatives("P(beta=[1e-4, 1e-3], hidden_only=True) + L")
        {'P(beta=0.0001)+L': 'P(beta=0.0001, hidden_only=True)+L',
         'P(beta=0.001)+L': 'P(beta=0.001, hidden_only=True)+L'}
        >>> alternatives("PGD(num_steps=7)")
        {'PGD': 'PGD(num_steps=7)'}
    """
    tree = _tree(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keywords = [keyword for call in calls for keyword in call.keywords]
    varied = {keyword: keyword.value.elts for keyword in keywords if isinstance(keyword.value, ast.List)}
    if (count := math.prod(map(len, varied.values()))) > _MOST_ALTERNATIVES:
        raise UsageError(f"{text[:200]!r} has {count:,} alternatives, and {_MOST_ALTERNATIVES:,} are possible")
    texts = []
    for chosen in itertools.product(*varied.values()):
        for keyword, value in zip(varied, chosen, strict=True):
            keyword.value = value
        texts.append(_text(tree))
    for call in calls:
        call.keywords = [keyword for keyword in call.keywords if keyword in varied]
    names = []
    for chosen in itertools.product(*varied.values()):
        for keyword, value in zip(varied, chosen, strict=True):
            keyword.value = value
        names.append(_text(tree))
    return dict(zip(names, texts, strict=True))


def without(text: str, is_other: Callable[[str, str], bool]) -> tuple[str, dict[str, Any]]:
    """A text without some of its settings, and those by name.

    Args:
        text: Choices joined by plus signs.
        is_other: Called as `(name of the choice, name of the setting)`: whether to take it out.

    Examples:
        >>> without("V(num_steps=9)+L(gamma=0.1)", lambda choice, setting: setting == "num_steps")
        ('V+L(gamma=0.1)', {'num_steps': 9})
    """
    tree = _tree(text)
    taken: dict[str, Any] = {}
    for call in _terms(tree):
        if isinstance(call, ast.Call):
            others = [keyword for keyword in call.keywords if is_other(ast.unparse(call.func), str(keyword.arg))]
            taken |= {str(keyword.arg): _setting(keyword.value) for keyword in others}
            call.keywords = [keyword for keyword in call.keywords if keyword not in others]
    return _text(tree), taken


def _text(tree: ast.expr) -> str:
    """How a choice is written: without parentheses where nothing is in them, without spaces around signs."""
    text = ast.unparse(tree).replace(f".{_COLON}.", ":").replace("()", "")
    return text.replace(" + ", "+").replace(" / ", "/")


def _tree(text: str) -> ast.expr:
    marked = re.sub(r"(?<=\w):(?=[A-Za-z_])", f".{_COLON}.", text.strip())  # Python has no word for module:name
    try:
        tree = ast.parse(marked, mode="eval").body
        if len(text) > _LONGEST or _depth(tree) > _DEEPEST:
            raise ValueError("it is too long, or too deeply nested")
        return tree
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{text[:200]!r} is not of the form {FORM}") from error


def _depth(tree: ast.AST) -> int:
    level, depth = [tree], 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def _terms(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return [*_terms(left), *_terms(right)]
    return [node]


def _choice(node: ast.expr) -> Choice:
    match node:
        case ast.Name() | ast.Attribute():
            return Choice(_name(node), {})
        case ast.Call(function, [], keywords):
            settings = {str(keyword.arg): _setting(keyword.value) for keyword in keywords}
            if len(settings) < len(keywords):
                raise ValueError(f"{ast.unparse(node)!r} gives an option twice")
            return Choice(_name(function), settings)
    raise ValueError(f"{ast.unparse(node)!r} is no choice")


def _name(node: ast.expr) -> str:
    name = ast.unparse(node).replace(f".{_COLON}.", ":")
    if not re.fullmatch(r"\w+|[\w.]+:\w+", name):
        raise ValueError(f"{name!r} is no name")
    return name


def _setting(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(word):
            return word
        case ast.Tuple(items) | ast.List(items):
            return tuple(_setting(item) for item in items)
        case ast.UnaryOp(ast.USub(), operand):
            return -_setting(operand)
        case ast.BinOp(left, ast.Div(), right):
            return _quotient(_setting(left), _setting(right))
        case ast.Call() | ast.Attribute():
            return _choice(node)
    raise ValueError(f"{ast.unparse(node)!r} is no value")


def _quotient(numerator: Any, denominator: Any) -> float:
    try:
        return numerator / denominator
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"{numerator!r} / {denominator!r} is no number") from error


def exported(package: ModuleType, *roles: type) -> dict[str, Any]:
    """What a package exports of some roles, by name: values, and constructors of values, which are written small.

    Examples:
        >>> sorted(exported(norms, norms.Norm))
        ['l1', 'l2', 'linf']
    """
    return {
        name: thing
        for name, thing in vars(package).items()
        if isinstance(thing, roles) or (inspect.isclass(thing) and issubclass(thing, roles) and name[0].islower())
    }


ALL_ATTACKS = exported(attacks, Attack, BoundaryAttack) | exported(evaluation, evaluation.Suite)
"""What climbs, what walks to a boundary, and suites of both."""

ROLES: dict[type, dict[str, Any]] = {
    evaluation.Suite: ALL_ATTACKS,
    Attack: exported(attacks, Attack),
    Estimator: exported(estimators, Estimator),
    layers.Layers: exported(layers, layers.Layers),
    norms.Ball: {"Ball": norms.Ball},
}
"""What settings of these types are called."""


@contextmanager
def flag_errors(name: str) -> Iterator[None]:
    """Tells an error of the library as one of the flag that caused it."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError) as error:
        told = isinstance(error, UsageError) and str(error).startswith("--")
        raise UsageError(str(error) if told else f"--{name}: {error}") from error


def build(choice: Choice | str, table: Mapping[str, Any], **given: Any) -> Any:
    """The value that a choice names, with the choice's settings.

    Args:
        choice: Name and settings, or their text.
        table: Values and constructors of values by name.
        **given: Settings that the program gives, to the values that have them; the choice's go first.

    Raises:
        UsageError: If the name, a setting or its value is unknown; the message has the legal ones.

    Examples:
        >>> build("pgd(num_steps=3, radius=1/4)", ROLES[Attack], ball=norms.l2.ball(1.0))
        pgd(ball=Ball(norm=l2, radius=0.25), num_steps=3)
    """
    choice = only(choice) if isinstance(choice, str) else choice
    entry = _named(choice.name, table)
    if not isinstance(entry, Value) and not (inspect.isclass(entry) and issubclass(entry, Value)):
        if choice.settings:
            raise UsageError(f"{choice.name} is a function, which has no settings")
        return entry
    try:
        if isinstance(entry, Value):
            return configured(entry.replace(**_known(entry, given)), choice)
        own = {name: raw for name, raw in choice.settings.items() if name in _fields(entry)}
        rest = {name: raw for name, raw in choice.settings.items() if name not in own}
        value = entry(**_known(entry, given) | {name: _converted(entry, name, raw) for name, raw in own.items()})
        return configured(value, Choice(choice.name, rest))
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        raise UsageError(f"{choice.name}: {error}") from error


def _named(name: str, table: Mapping[str, Any]) -> Any:
    if ":" in name:
        try:
            return values.resolve(name, importing=True)
        except Exception as error:  # whatever a module of somebody's own does when it is imported
            raise UsageError(f"{name}: {error}") from error
    if name not in table:
        raise UsageError(f"{name!r} is none of {', '.join(table)}, nor module:name")
    return table[name]


def configured(value: Value, choice: Choice) -> Value:
    """The value with the settings of a choice, its own and those of the values in it.

    Raises:
        UsageError: If it has no such setting, or not this value of it.
    """
    changes: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, raw in choice.settings.items():
        if name in _fields(type(value)):
            changes[name] = _converted(type(value), name, raw)
            continue
        holders = [field for field, part in values.settings(value).items() if name in all_settings(part)]
        if not holders:
            legal = ", ".join(all_settings(value)) or "none"
            raise UsageError(f"{choice.name} has no option {name!r}; it has {legal}")
        inner.setdefault(holders[0], {})[name] = raw
    for field, settings in inner.items():
        part = changes.get(field, getattr(value, field))
        changes[field] = configured(part, Choice(choice.name, settings))
    return value.replace(**changes) if changes else value


def all_settings(value: Any) -> list[str]:
    """Names of the settings of a value and of the values in it."""
    if not isinstance(value, Value):
        return []
    own = values.settings(value)
    return list(dict.fromkeys([*own, *(name for part in own.values() for name in all_settings(part))]))


def _fields(cls: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]


def _known(entry: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    cls = entry if inspect.isclass(entry) else type(entry)
    return {name: setting for name, setting in given.items() if name in _fields(cls)}


def _converted(cls: type, name: str, raw: Any) -> Any:
    """What a text's setting means for a field: words become objects."""
    words = _fields(cls)[name].metadata.get("words")
    if isinstance(words, Mapping):
        if raw not in words:
            raise UsageError(f"{name}={raw!r} is none of {', '.join(words)}")
        return words[raw]
    if words is not None and isinstance(raw, str):
        return words(raw)
    if words is not None and raw is not None and not isinstance(raw, Choice):
        raise UsageError(f"{name} takes a word, got {raw!r}")
    hint = typing.get_type_hints(cls).get(name)
    kinds = [kind for kind in (hint, *typing.get_args(hint)) if inspect.isclass(kind)]
    role = next((table for role, table in ROLES.items() if any(issubclass(kind, role) for kind in kinds)), None)
    if role is not None and isinstance(raw, str | Choice):
        return build(raw if isinstance(raw, Choice) else Choice(raw, {}), role)
    if isinstance(raw, Choice):
        raise UsageError(f"{name} takes no {raw.name}(...)")
    return raw
