"""From command line arguments to a frozen `Config`: one flag per field, each checked before any compute.

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
radius: float = cli.flag(8 / 255, "Radius of the ball.", unit="pixels in [0, 1]")

def run(config: Config) -> Results: ...

if __name__ == "__main__":
process.main(Config, run, __doc__)
"""

import dataclasses
import inspect
import re
import shlex
import textwrap
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from absl import flags

from lipjax import checks
from lipjax.records import read_json, to_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")


MOST_VALUES = 100_000
"""Of one flag."""
REFUSED = re.compile("--?undefok(=|$)")
"""What absl knows by itself: a flag that hides wrong ones."""
FILES = re.compile("--?(flagfile|config)(?:=(.*)|$)", re.DOTALL)
OF_EVERY_COMMAND = """\
Flags of every command:
  --config=FILE
      The flags that a command recorded: flags.json of a training, results.json of others. Of two flags of
      one name the later one counts, so --config=FILE --seed=3 is the same with another seed.
  --flagfile=FILE
      Flags from a text file, one a line.
  --processes=HOST:PORT,INDEX,COUNT
      Makes this one of several processes that run the command together, the first of which is at HOST.
      Those that srun, mpirun or a TPU pod started find each other without it; sweeps share cells instead."""


class UsageError(ValueError):
    """A flag has a value that can't be used."""


def flag(
    default: Any,
    help: str,
    *,
    unit: str = "",
    legal: Sequence[str] = (),
    minimum: int | None = None,
    recorded: bool = True,
    positional: bool = False,
    check: Callable[..., None] = checks.finite,
) -> Any:
    """A field of a `Config` that is a flag of the command.

    Args:
        default: Value without the flag.
        help: What it means, a sentence.
        unit: Unit of the value.
        legal: The values that it may have; none for any of its type.
        minimum: The smallest legal whole number.
        recorded: Whether two runs that differ in it are different runs.
        positional: Whether arguments that are no flags are its values, as in `list runs/*`.
        check: Range of a number, or of each of several: one of `lipjax.checks`.
    """
    meta = {"help": help, "unit": unit, "legal": tuple(legal), "minimum": minimum, "recorded": recorded}
    return dataclasses.field(default=default, metadata=meta | {"positional": positional, "check": check})


class _Text(flags.ArgumentParser):
    """Words and paths; a path may begin in the home folder."""

    syntactic_help = "printable text"

    def parse(self, argument: str) -> str:
        if not argument.isprintable():
            raise ValueError(f"{argument!r:.200} is not {self.syntactic_help}")
        return str(checks.path(argument)) if argument.startswith("~") else argument


class _Number(flags.ArgumentParser):
    syntactic_help = "a number, or a fraction such as 8/255"

    def parse(self, argument: str | float) -> float:
        numerator, _, denominator = str(argument).partition("/")
        try:
            return float(numerator) / float(denominator or 1)
        except (ValueError, ZeroDivisionError):
            raise ValueError(f"{argument!r} is not {self.syntactic_help}") from None


class _List(flags.ArgumentParser):
    """Values with commas between them; commas within parentheses belong to a value, 0:3 is 0,1,2."""

    def __init__(self, element: flags.ArgumentParser):
        self.syntactic_help = "values with commas between them"
        self._element = element

    def parse(self, argument: str | tuple) -> tuple:
        parts = _split(argument) if isinstance(argument, str) else argument
        return () if argument == "" else tuple(value for part in parts for value in self._values(part))

    def _values(self, part: Any) -> Sequence[Any]:
        if isinstance(self._element, flags.IntegerParser) and ":" in str(part):
            first, last = (self._element.parse(end) for end in str(part).split(":", 1))
            if last - first > MOST_VALUES:
                raise ValueError(f"{part} are more than {MOST_VALUES:,} numbers")
            return range(first, last)
        return [self._element.parse(part)]


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in re.sub(r"^\[(.*)\]$", r"\1", text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _parser(annotation: Any, meta: Mapping[str, Any]) -> flags.ArgumentParser:
    inner = [argument for argument in typing.get_args(annotation) if argument not in (type(None), ...)]
    if inner:  # tuple[T, ...], or T | None
        element = _parser(inner[0], meta)
        return _List(element) if typing.get_origin(annotation) is tuple else element
    if meta["legal"]:
        return flags.EnumParser(list(meta["legal"]))
    if annotation is int:
        return flags.IntegerParser(lower_bound=meta["minimum"], upper_bound=checks.MOST)
    return {float: _Number, str: _Text}[annotation]()


def _define(values: flags.FlagValues, config_class: Any) -> None:
    annotations = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        if bool in (annotations[field.name], *typing.get_args(annotations[field.name])):
            flags.DEFINE_boolean(field.name, field.default, field.metadata["help"], flag_values=values)
        else:
            parser = _parser(annotations[field.name], field.metadata)
            flags.DEFINE(parser, field.name, field.default, field.metadata["help"], flag_values=values)


def parse(config_class: type[Config], arguments: Sequence[str]) -> Config:
    """The config that command line arguments ask for.

    Raises:
        UsageError: If a flag is unknown or its value is not of its type, or if the config refuses its values.
    """
    values = flags.FlagValues()
    _define(values, config_class)
    try:
        rest = tuple(values(["", *_expanded(config_class, arguments)])[1:])
        given = {name: values[name].value for name in values if values[name].present}
        if rest:
            given[_positional(config_class, rest)] = rest
        return checked(config_class(**{**_preset(config_class, given.get("preset")), **given}))
    except (flags.Error, ValueError, TypeError, OverflowError) as error:
        raise UsageError(str(error)) from error


def _expanded(config_class: type, arguments: Sequence[str]) -> list[str]:
    """The arguments, with the flags of a file in place of `--flagfile=FILE` and `--config=FILE`."""
    found = list[str]()
    for argument in arguments:
        if REFUSED.match(argument):
            raise UsageError(f"{argument} is not a flag")
        named = FILES.match(argument)
        if named and not named[2]:
            raise UsageError(f"--{named[1]} takes a file: --{named[1]}=FILE")
        try:
            found += IN_FILES[named[1]](config_class, checks.path(named[2])) if named else [argument]
        except OSError as error:
            raise UsageError(f"{argument} can't be read: {error}") from error
    return found


def _recorded(config_class: type, path: Path) -> list[str]:
    """The flags that a command recorded: an object of JSON, or what it has as `settings`."""
    found = read_json(path)
    found = found.get("settings", found) if isinstance(found, Mapping) else found
    try:
        config: Any = from_settings(config_class, found)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return written_flags({name: getattr(config, name) for name in found})


def _one_a_line(config_class: type, path: Path) -> list[str]:
    """The flags of a text file, quoted as in a shell; what follows a # is not read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text: {error}") from error
    found, values = list[str](), flags.FlagValues()
    _define(values, config_class)
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
            if len(words) > 1:
                raise ValueError(f"one flag a line, and quotes around a value with spaces; got {line.strip()}")
            if words and (not words[0].startswith("--") or REFUSED.match(words[0]) or FILES.match(words[0])):
                raise ValueError(f"{words[0]!r} is not a flag of a file: flags are written --name=value")
            values(["", *words])
        except (flags.Error, ValueError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
        found += words
    return found


IN_FILES: Mapping[str, Callable[[type, Path], Iterable[str]]] = {"config": _recorded, "flagfile": _one_a_line}
"""Readers of files of flags, by the flag that names the file."""


def checked(config: Config) -> Config:
    """The config, if each flag is of its type and in its range.

    Raises:
        UsageError: If one is not; the message has what is legal.
    """
    annotations = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        given, meta = getattr(config, field.name), field.metadata
        try:
            checks.of_type(annotations[field.name], **{f"--{field.name}": given})
            is_real = float in (annotations[field.name], *typing.get_args(annotations[field.name]))
            for one in given if isinstance(given, tuple) else (given,):
                _check_range(f"--{field.name}", one, meta, is_real)
        except ValueError as error:
            raise UsageError(str(error)) from error
    return config


def _check_range(name: str, given: Any, meta: Mapping[str, Any], is_real: bool) -> None:
    if meta["legal"] and given is not None:
        checks.one_of(name, given, meta["legal"])
    if is_real and given is not None:
        meta["check"](**{name: given})
    elif isinstance(given, int) and not isinstance(given, bool):
        checks.at_least(-checks.MOST if meta["minimum"] is None else meta["minimum"], **{name: given})


def _positional(config_class: Any, rest: Sequence[str]) -> str:
    for field in dataclasses.fields(config_class):
        if field.metadata["positional"]:
            return field.name
    raise UsageError(f"{rest[0]!r} is not a flag: flags are written --name=value")


def _preset(config_class: Any, name: str | None) -> Mapping[str, Any]:
    # A config may name sets of defaults for its flags in PRESETS; its flag `preset` chooses one.
    return config_class.PRESETS[name] if name else {}


def help_text(config_class: type, doc: str) -> str:
    """The docstring of the experiment and its flags, by what they are of: default, meaning, unit and legal values."""
    own = {owner: inspect.get_annotations(owner) for owner in config_class.__mro__}
    owners = {field.name: [owner for owner in own if field.name in own[owner]][-1] for field in _fields(config_class)}
    parts = [doc.strip()]
    for owner in own:
        of_owner = [_explained(field) for field in _fields(config_class) if owners[field.name] is owner]
        parts += ["\n".join([f"{_title(owner)}:", *of_owner])] if of_owner else []
    return "\n\n".join([*parts, OF_EVERY_COMMAND])


def _fields(config_class: Any) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(config_class)


def _title(owner: type) -> str:
    title = (owner.__doc__ or "").split("\n")[0].rstrip(".")
    return "Flags" if not title or title.startswith(f"{owner.__name__}(") else title


def _explained(field: dataclasses.Field) -> str:
    meta = field.metadata
    unit = f" In {meta['unit']}." if meta["unit"] else ""
    legal = f" One of: {', '.join(meta['legal'])}." if meta["legal"] else ""
    lines = textwrap.wrap(f"{meta['help']}{unit}{legal}", 100, break_long_words=False, break_on_hyphens=False)
    return "\n      ".join([f"  --{field.name}={_written(field.default)}", *lines])


def _written(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_written, value))
    return "" if value is None else str(value)


def arguments(config: Any) -> list[str]:
    """Command line arguments from which `parse` makes the config again."""
    return written_flags({field.name: getattr(config, field.name) for field in dataclasses.fields(config)})


def written_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings as command line arguments; those that are None are left out."""
    return [f"--{name}={_written(value)}" for name, value in settings.items() if value is not None]


def command_line(name: str, config: Any) -> str:
    """The line for a shell that gives a command the flags of a config, those of its defaults left out."""
    defaults = set(arguments(type(config)()))
    return shlex.join(
        ["python", "-m", f"{__package__}.{name}", *(word for word in arguments(config) if word not in defaults)]
    )


def settings(config: Any) -> dict[str, Any]:
    """What a run directory records of a config, in terms of JSON."""
    recorded = [field.name for field in dataclasses.fields(config) if field.metadata["recorded"]]
    return to_json({name: getattr(config, name) for name in recorded})


def from_settings(config_class: type[Config], recorded: Mapping[str, Any]) -> Config:
    """The config that `settings` recorded.

    Raises:
        UsageError: If it is no mapping, or has fields that the class has not.
    """
    if not isinstance(recorded, Mapping):
        raise UsageError(f"settings must be a JSON object, got a {type(recorded).__name__}")
    legal = {field.name for field in dataclasses.fields(config_class)}
    if unknown := sorted(recorded.keys() - legal):
        raise UsageError(f"settings of another experiment or version: unknown {', '.join(unknown)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in recorded.items()}
    return checked(config_class(**values))
