"""Values: frozen records of settings, equal by their settings, printed with them, written to JSON and read back.

What has settings in lipjax (a norm, a ball, an attack, a method, a network, an estimator, a measurement) is a subclass
of `Value`, its fields are the settings, and its name is what flags and results call it. Its *numbers* (a radius, a
weight, a step size) are leaves of a pytree and all else is static, so another number compiles nothing again, and a
stacked value goes through `vmap`.
"""

import dataclasses
import functools
import importlib
import inspect
import math
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import checks

Json = dict[str, Any]
Number: TypeAlias = float | jax.Array | np.ndarray
"""A number of a value: an array where values are stacked, or being traced."""
REQUIRED = dataclasses.MISSING
"""In place of a default: the field has to be given."""
Check = Callable[..., None]
Function = TypeVar("Function", bound=Callable[..., Any])
AnyValue = TypeVar("AnyValue", bound="Value")
_ARRAYS = (jax.Array, np.ndarray, np.generic)


def number(default: Any = REQUIRED, *checked: Check, unit: str = "", finite: bool = True) -> Any:
    """A field that is a leaf: a real number, an array of them in a stacked value, or None where that is the default.

    Args:
        default: Default; without one the field has to be given.
        *checked: Checks of `lipjax.checks` that a number has to pass; numbers that are being traced pass unchecked.
        unit: What it counts, for help texts.
        finite: Whether infinity is refused.

    Examples:
        >>> class scaled(Value):
        ...     factor: float = number(1.0, checks.positive)
        >>> jax.tree.leaves(scaled(3)), scaled().factor
        ([3.0], 1.0)
        >>> scaled(float("inf"))
        Traceback (most recent call last):
            ...
        ValueError: factor must be finite, got inf
    """
    return _field(default, (checks.finite, *checked) if finite else checked, unit, None, number=True)


def count(default: Any = REQUIRED, *, least: int = 1, unit: str = "") -> Any:
    """A static field that is a whole number of at least `least`.

    Examples:
        >>> class repeated(Value):
        ...     times: int = count(10)
        >>> repeated(2.0).times, jax.tree.leaves(repeated(2))
        (2, [])
        >>> repeated(0)
        Traceback (most recent call last):
            ...
        ValueError: times must be a whole number of at least 1, got 0
    """

    def checked(**named: Any) -> None:
        checks.at_least(least, **named)

    return _field(default, (checked,), unit, None, whole=True)


def setting(
    default: Any = REQUIRED,
    *checked: Check,
    words: Mapping[str, Any] | Callable[[str], Any] | None = None,
    unit: str = "",
) -> Any:
    """A static field, or one that is a value itself.

    Args:
        default: Default; without one the field has to be given.
        *checked: Checks that the setting has to pass, called as `check(name=setting)`.
        words: How a text names the setting: a mapping from words to objects, or a function of a word.
        unit: What it counts, for help texts.

    Examples:
        >>> class pooled(Value):
        ...     kind: str = setting("mean", lambda kind: checks.one_of("kind", kind, ["mean", "largest"]))
        >>> pooled("largest"), jax.tree.leaves(pooled("largest"))
        (pooled(kind=largest), [])
        >>> pooled("smallest")
        Traceback (most recent call last):
            ...
        ValueError: kind must be one of mean, largest; got 'smallest'
    """
    return _field(default, checked, unit, words)


def _field(default: Any, checked: tuple[Check, ...], unit: str, words: Any, **kinds: bool) -> Any:
    metadata = {"checks": checked, "unit": unit, "words": words} | kinds
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, eq_default=False)
class Value:
    """Base of all values; see the module's docstring. A subclass is a frozen dataclass and a pytree without more ado.

    Lists become tuples, whole numbers become floats where those are asked for, and every field is of its annotated type
    and passes its checks before `check` looks at them together. None of this happens where JAX rebuilds a value.

    Examples:
        >>> class ramp(Value):
        ...     slope: float = number(1.0, checks.positive)
        ...     power: int = count(1)
        ...     def __call__(self, x):
        ...         return self.slope * x**self.power
        >>> ramp(2.0), ramp(2.0) == ramp(slope=2), jax.tree.leaves(ramp(2.0))
        (ramp(slope=2.0), True, [2.0])
        >>> jax.jit(lambda f, x: f(x))(ramp(3.0, power=2), 2.0)
        Array(12., dtype=float32, weak_type=True)
        >>> jax.vmap(lambda f: f(1.0))(ramp(jnp.array([1.0, 2.0])))
        Array([1., 2.], dtype=float32)
        >>> ramp(-1.0)
        Traceback (most recent call last):
        ValueError: slope must be positive, got -1.0
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        jax.tree_util.register_pytree_with_keys(cls, _flatten_with_keys, _Unflatten(cls), _flatten)

    def __post_init__(self) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            hint = hints.get(field.name, Any)
            given = _settled(field, hint, getattr(self, field.name))
            checks.of_type(hint, **{field.name: given})
            object.__setattr__(self, field.name, given)
            if given is not None:
                for check in field.metadata.get("checks", ()):
                    check(**{field.name: given})
        self.check()

    def check(self) -> None:
        """Raises ValueError where settings do not fit together."""

    def replace(self: AnyValue, **changes: Any) -> AnyValue:
        """The value with other settings."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(map(_same, settings(self).values(), settings(other).values()))

    def __hash__(self) -> int:
        return hash((type(self), *map(_hashable, settings(self).values())))

    def __repr__(self) -> str:
        changed = (f for f in dataclasses.fields(self) if not _same(getattr(self, f.name), f.default))  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{f.name}={_text(getattr(self, f.name))}' for f in changed)})"


def settings(value: Any) -> dict[str, Any]:
    """The fields of a value by name, in their order.

    Examples:
        >>> from lipjax import norms
        >>> settings(norms.linf.ball(0.5))
        {'norm': linf, 'radius': 0.5, 'box': (0.0, 1.0)}
    """
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _settled(field: dataclasses.Field, hint: Any, given: Any) -> Any:
    given = tuple(given) if isinstance(given, list) else given
    if field.metadata.get("whole") and isinstance(given, float | np.integer) and float(given).is_integer():
        return int(given)
    if isinstance(given, tuple) and _has_floats(hint):
        return tuple(float(item) if type(item) is int else item for item in given)  # (1,) and (1.0,) are one setting
    if not (field.metadata.get("number") or hint is float) or given is None:
        return given
    checks.of_type(float, **{field.name: given})
    return float(given) if isinstance(given, int | np.generic) else given


def _has_floats(hint: Any) -> bool:
    tuples = [each for each in (hint, *typing.get_args(hint)) if typing.get_origin(each) is tuple]
    return any(float in typing.get_args(each) for each in tuples)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # names that only type checkers import
        return {}


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, jax.core.Tracer) or isinstance(second, jax.core.Tracer):
        return first is second
    if isinstance(first, _ARRAYS) or isinstance(second, _ARRAYS):
        return np.array_equal(first, second)
    return bool(first == second)


def _hashable(setting: Any) -> Any:
    if not isinstance(setting, _ARRAYS) or isinstance(setting, jax.core.Tracer):
        return setting
    array = np.asarray(setting)
    return array.item() if array.ndim == 0 else (array.shape, array.tobytes())


def _text(setting: Any) -> str:
    if isinstance(setting, tuple):
        return f"({', '.join(map(_text, setting))}{',' * (len(setting) == 1)})"
    if isinstance(setting, str) and setting.isidentifier():
        return setting
    return getattr(setting, "__name__", None) or repr(setting)


def _is_child(field: dataclasses.Field, setting: Any) -> bool:
    has_values = isinstance(setting, tuple) and any(isinstance(item, Value) for item in setting)
    return field.metadata.get("number", False) or isinstance(setting, Value) or has_values


def _flatten(value: Any) -> tuple[tuple[Any, ...], Any]:
    children: Json = {}
    statics: Json = {}
    for field in dataclasses.fields(value):
        setting = getattr(value, field.name)
        (children if _is_child(field, setting) else statics)[field.name] = setting
    return tuple(children.values()), (tuple(children), tuple(statics.items()))


def _flatten_with_keys(value: Any) -> tuple[tuple[Any, ...], Any]:
    children, (names, statics) = _flatten(value)
    keys = map(jax.tree_util.GetAttrKey, names)
    return tuple(zip(keys, children, strict=True)), (names, statics)


class _Unflatten:
    """Rebuilds a value around whatever JAX puts into its leaves, without checks."""

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __call__(self, structure: Any, children: Any) -> Any:
        names, statics = structure
        value: Any = object.__new__(self._cls)
        for name, setting in (*statics, *zip(names, children, strict=True)):
            object.__setattr__(value, name, setting)
        return value


def traceable(function: Function) -> Function:
    """A function that may cross `jit`: a value as it is, its numbers traced; another function as part of the program.

    Examples:
        >>> jax.tree.leaves(traceable(jnp.sin))
        []
    """
    is_tree = isinstance(function, Value | jax.tree_util.Partial)
    return function if is_tree else jax.tree_util.Partial(function)  # type: ignore[return-value]


def to_json(setting: Any) -> Any:
    """A value, or a setting of one, in terms of JSON: `{"type": "module:class", **settings}`, without loss.

    Flax modules are written likewise, functions become `{"ref": "module:name"}`, arrays `{"array": [...], "dtype":
    ...}`, numbers that are not finite the words "Infinity", "-Infinity" and "NaN".

    Raises:
        TypeError: If it can't be named: a function defined inside another, say.

    Examples:
        >>> from lipjax import norms
        >>> to_json(norms.linf.ball(0.5))
        {'type': 'lipjax.norms:Ball', 'norm': {'type': 'lipjax.norms:Linf'}, 'radius': 0.5, 'box': [0.0, 1.0]}
        >>> from_json(to_json(norms.linf.ball(0.5))) == norms.linf.ball(0.5)
        True
    """
    if isinstance(setting, Value):
        return {"type": _reference(type(setting))} | {name: to_json(item) for name, item in settings(setting).items()}
    if isinstance(setting, _ARRAYS) and np.ndim(setting):
        array = np.asarray(setting)
        return {"array": to_json(tuple(array.tolist())), "dtype": str(array.dtype)}
    if isinstance(setting, _ARRAYS):
        return to_json(np.asarray(setting).item())
    if isinstance(setting, tuple | list):
        return [to_json(item) for item in setting]
    if isinstance(setting, float) and not math.isfinite(setting):
        return "NaN" if math.isnan(setting) else "Infinity" if setting > 0 else "-Infinity"
    if setting is None or isinstance(setting, str | bool | int | float):
        return setting
    if _is_linen(type(setting)):
        fields = {field.name: getattr(setting, field.name) for field in dataclasses.fields(setting) if field.init}
        own = {name: to_json(item) for name, item in fields.items() if name not in ("parent", "name")}
        return {"type": _reference(type(setting))} | own
    return {"ref": _reference(setting)}


def _is_linen(cls: type) -> bool:
    # A user's flax.linen module is a frozen dataclass of settings too; flax itself is at home in `networks`.
    return any(f"{base.__module__}.{base.__name__}" == "flax.linen.module.Module" for base in cls.__mro__)


def _reference(thing: Any) -> str:
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not name or "<" in name:
        raise TypeError(f"{thing!r} can't be written down: only what has a name in a module can be found again")
    return f"{module}:{name}"


def from_json(content: Any) -> Any:
    """What `to_json` wrote.

    Raises:
        ValueError: If a type or function is unknown, or its module is not lipjax's and was not imported: reading a file
            never imports what the file names.

    Examples:
        >>> from_json({"type": "lipjax.norms:Ball", "norm": {"type": "lipjax.norms:L2"}, "radius": "Infinity"})
        Ball(norm=l2, radius=inf)
        >>> from_json({"type": "builtins:dict", "names": ["a"]})
        Traceback (most recent call last):
            ...
        ValueError: 'builtins:dict' is not the type of a value
    """
    if isinstance(content, list):
        return tuple(map(from_json, content))
    if isinstance(content, str) and content in ("NaN", "Infinity", "-Infinity"):
        return float(content)
    if not isinstance(content, Mapping):
        return content
    if "array" in content:
        return np.asarray(from_json(content["array"]), content["dtype"])
    if "ref" in content:
        return resolve(content["ref"])
    fields = dict(content)
    cls = resolve(str(fields.pop("type", "")))
    if not (inspect.isclass(cls) and (issubclass(cls, Value) or _is_linen(cls))):
        raise ValueError(f"{content.get('type')!r} is not the type of a value")
    try:
        return cls(**{name: from_json(item) for name, item in fields.items()})
    except TypeError as error:
        raise ValueError(f"{content['type']}: {error}") from error


def resolve(reference: str, *, importing: bool = False) -> Any:
    """What a text `module:name` names; modules outside lipjax are imported only if asked for.

    Raises:
        ValueError: If there is no such thing.

    Examples:
        >>> resolve("lipjax.norms:linf")
        linf
        >>> resolve("lipjax.norms:l3")
        Traceback (most recent call last):
            ...
        ValueError: 'lipjax.norms:l3' is not known here: import its module first
    """
    module, _, name = reference.partition(":")
    try:
        if importing or module.split(".")[0] == "lipjax":
            found = importlib.import_module(module)
        else:
            found = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"{reference!r} is not known here: import its module first") from error
    return found


def stack(*values: Any) -> Any:
    """Values that differ in numbers only as one, each number an array: for `vmap`, `lax.map` and packed training.

    Raises:
        ValueError: If they differ in anything else.

    Examples:
        >>> from lipjax import norms
        >>> stack(norms.l2.ball(0.5), norms.l2.ball(1.0)).radius
        Array([0.5, 1. ], dtype=float32, weak_type=True)
    """
    if len({jax.tree.structure(value) for value in values}) > 1:
        raise ValueError(f"only values that differ in numbers can be stacked, got {', '.join(map(repr, values))}")
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *values)
