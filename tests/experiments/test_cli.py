import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from experiments import cli, process
from lipjax.records import RunRefused, write_json
from lipjax.training import NonFiniteLoss


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    radius: float = cli.flag(8 / 255, "Radius of the ball.", unit="pixels in [0, 1]")
    steps: int = cli.flag(10, "Number of steps.", minimum=1)
    norm: str = cli.flag("linf", "Norm of the ball.", legal=("l2", "linf"))
    radii: tuple[float, ...] = cli.flag((0.1, 0.2), "Radii of the curve.")
    systems: tuple[str, ...] = cli.flag(("V", "P"), "What is compared.")
    limit: int | None = cli.flag(None, "Examples; default all.", minimum=1)
    quick: bool = cli.flag(False, "Do less.")
    out_dir: str = cli.flag("runs/x", "The run directory.", recorded=False)

    def __post_init__(self) -> None:
        if self.quick and self.steps > 10:
            raise ValueError("--quick allows at most 10 --steps")


def test_without_flags_a_config_has_its_defaults() -> None:
    assert cli.parse(Config, []) == Config()


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--radius=0.5", "radius", 0.5),
        ("--radius=4/255", "radius", 4 / 255),
        ("--steps=3", "steps", 3),
        ("--norm=l2", "norm", "l2"),
        ("--radii=1/4,0.5", "radii", (0.25, 0.5)),
        ("--systems=V,L(weight=1e-3, power=2)+P,PGD", "systems", ("V", "L(weight=1e-3, power=2)+P", "PGD")),
        ("--systems=L2NN", "systems", ("L2NN",)),
        (
            '--systems=V(optimizer="sgd(momentum=0)", rate=1),P',
            "systems",
            ('V(optimizer="sgd(momentum=0)", rate=1)', "P"),
        ),
        ("--limit=7", "limit", 7),
        ("--quick", "quick", True),
        ("--noquick", "quick", False),
    ],
)
def test_a_flag_sets_its_field(argument: str, name: str, value: object) -> None:
    assert cli.parse(Config, [argument]) == dataclasses.replace(Config(), **{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--radius=wide"], "'wide' is not a number, or a fraction such as 8/255"),
        (["--radius=1/0"], "'1/0' is not a number"),
        (["--steps=0"], "flag --steps=0"),
        (["--steps=2.5"], "flag --steps=2.5"),
        (["--norm=l1"], "<l2|linf>"),
        (["--radii=0.1,far"], "'far' is not a number"),
        (["--limit=0"], "flag --limit=0"),
        (["--speed=3"], "Unknown command line flag 'speed'"),
        (["stray"], "'stray' is not a flag"),
        (["--quick", "--steps=11"], "--quick allows at most 10 --steps"),
    ],
)
def test_a_wrong_flag_is_refused_with_what_is_legal(arguments: list[str], message: str) -> None:
    with pytest.raises(cli.UsageError) as caught:
        cli.parse(Config, arguments)
    assert message in str(caught.value)


def in_file(folder: Path, *lines: str) -> str:
    """The flag that names a file of these lines."""
    path = folder / "my.flags"
    path.write_text("\n".join(lines))
    return f"--flagfile={path}"


def test_flags_of_a_file_stand_where_it_is_named_and_later_ones_win(tmp_path: Path) -> None:
    file = in_file(
        tmp_path, "# mine", "", "--steps=3  # few", '--systems="V,L(weight=1e-3, power=2)"', "--quick", "--steps=4"
    )
    read = Config(steps=4, systems=("V", "L(weight=1e-3, power=2)"), quick=True)
    assert cli.parse(Config, [file]) == read
    assert cli.parse(Config, ["--steps=7", file]) == read
    assert cli.parse(Config, [file, "--steps=7"]) == dataclasses.replace(read, steps=7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--speed=3", "my.flags, line 2: Unknown command line flag 'speed'"),
        ("--steps=0", "my.flags, line 2: flag --steps=0"),
        ("--radii=1, 2", "my.flags, line 2: one flag a line, and quotes around a value with spaces; got --radii=1, 2"),
        ("steps=3", "my.flags, line 2: 'steps=3' is not a flag of a file: flags are written --name=value"),
        ("--flagfile=other", "my.flags, line 2: '--flagfile=other' is not a flag of a file"),
        ('--norm="l2', "my.flags, line 2: No closing quotation"),
    ],
)
def test_a_wrong_line_of_a_file_is_named(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(cli.UsageError) as caught:
        cli.parse(Config, [in_file(tmp_path, "--steps=3", line)])
    assert message in str(caught.value)


def test_what_a_command_recorded_are_flags_again_and_later_ones_win(tmp_path: Path) -> None:
    config = Config(radius=0.1, systems=("V", "L(weight=1e-3, power=2)"), quick=True, limit=None, out_dir="elsewhere")
    for number, recorded in enumerate((cli.settings(config), {"settings": cli.settings(config), "accuracy": 0.5})):
        write_json(tmp_path / f"{number}.json", recorded)
        file = f"--config={tmp_path}/{number}.json"
        assert cli.parse(Config, [file]) == dataclasses.replace(config, out_dir="runs/x")
        given = ["--radius=0.3", "--out_dir=here", file, "--noquick"]
        assert cli.parse(Config, given) == dataclasses.replace(config, quick=False, out_dir="here")


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"settings": {"depth": 2}}, "my.json: settings of another experiment or version: unknown depth"),
        ({"steps": 0}, "my.json: --steps must be a whole number of at least 1"),
        ({"steps": "3"}, "my.json: --steps"),
        ([1], "my.json: settings must be a JSON object, got a list"),
        (None, "my.json: settings must be a JSON object, got a NoneType"),
    ],
)
def test_a_wrong_record_is_named(recorded: object, message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "my.json", recorded)
    with pytest.raises(cli.UsageError) as caught:
        cli.parse(Config, [f"--config={tmp_path}/my.json"])
    assert message in str(caught.value)


def test_help_is_grouped_by_what_flags_are_of_and_its_lines_are_short() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Base:
        """Which examples."""

        number: int = cli.flag(3, "How many, " * 20 + "and no more.")

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Both(Base, Config):
        """What is asked."""

        number: int = cli.flag(4, "How many.")
        word: str = cli.flag("", "What.")

    text = cli.help_text(Both, "Doc.")
    assert [line[:-1] for line in text.splitlines() if line.endswith(":")] == [
        "What is asked",
        "Which examples",
        "Flags",
        "Flags of every command",
    ]
    assert "What is asked:\n  --word=\n      What.\n\nWhich examples:\n  --number=4\n" in text
    assert max(map(len, cli.help_text(Base, "").splitlines())) <= 106


def test_help_has_default_meaning_unit_and_legal_values() -> None:
    text = cli.help_text(Config, "What it shows.")
    assert text.startswith("What it shows.\n")
    assert "--radius=0.03137254901960784\n      Radius of the ball. In pixels in [0, 1]." in text
    assert "--norm=linf\n      Norm of the ball. One of: l2, linf." in text
    assert "--radii=0.1,0.2\n" in text
    assert "--limit=\n" in text


def test_recorded_settings_give_the_config_back() -> None:
    config = Config(systems=("V",), limit=3, out_dir="elsewhere")
    recorded = json.loads(json.dumps(cli.settings(config)))
    assert "out_dir" not in recorded
    assert cli.from_settings(Config, recorded) == dataclasses.replace(config, out_dir="runs/x")


def test_settings_of_another_experiment_are_refused() -> None:
    with pytest.raises(cli.UsageError, match="unknown depth, width"):
        cli.from_settings(Config, {"width": 3, "radius": 0.1, "depth": 2})


def test_settings_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(cli.UsageError, match="must be a JSON object, got a list"):
        cli.from_settings(Config, [1, 2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (cli.UsageError("--norm: no such norm"), 2, "error: --norm: no such norm"),
        (RunRefused("runs/x is in use"), 2, "error: runs/x is in use"),
        (NonFiniteLoss(3, "laplacian"), 1, "error: training stopped: laplacian is not finite at step 3"),
    ],
)
def test_expected_errors_end_without_a_traceback(
    error: Exception, code: int, message: str, capsys: pytest.CaptureFixture
) -> None:
    def run(config: Config) -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        process.main(Config, run, "", [])
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_command_that_is_asked_to_stop_says_how_to_go_on(
    number: signal.Signals, capsys: pytest.CaptureFixture
) -> None:
    assert threading.current_thread() is threading.main_thread()

    def run(config: Config) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end:
        process.main(Config, run, "", [])
    assert end.value.code == 128 + number
    assert capsys.readouterr().err == f"stopped by {number.name}: the same command continues\n"
    assert signal.getsignal(number) is before


def test_help_runs_nothing(capsys: pytest.CaptureFixture) -> None:
    def run(config: Config) -> None:
        raise AssertionError("help ran the experiment")

    process.main(Config, run, "What it shows.", ["--help"])
    assert "--radius=" in capsys.readouterr().out
