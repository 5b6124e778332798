"""Bad commands, one row each: refused in one line that says what is wrong, before any compute; nothing is written."""

import importlib
import json
from pathlib import Path

import jax
import pytest

from experiments import process
from lipjax import networks, records
from lipjax.types import Model

pytestmark = pytest.mark.usefixtures("unchecked_annotations")

SMALL = ["--num_train=20", "--num_test=20", "--batch_size=10", "--network=mlp(widths=(2,))", "--corruptions=contrast"]
TOY = ["--dataset=toy", "--network=mlp(widths=(2,))"]
FLAGS: list[tuple[str, list[str], str]] = [
    # The text itself.
    ("train", ["--speed=3"], "Unknown command line flag 'speed'"),
    ("train", ["--undefok=speed", "--speed=3"], "--undefok=speed is not a flag"),
    ("train", ["--flagfile=flags.txt"], "--flagfile=flags.txt can't be read: [Errno 2] No such file"),
    ("train", ["--config=config.json"], "--config=config.json can't be read: [Errno 2] No such file"),
    ("train", ["--config="], "--config takes a file: --config=FILE"),
    ("train", ["stray"], "'stray' is not a flag"),
    ("train", ["--num_steps=ten"], "num_steps=ten"),
    ("train", ["--num_steps=0"], "num_steps=0"),
    ("train", ["--num_steps=99999999999999999999"], "num_steps=99999999999999999999"),
    ("train", ["--seed=-1"], "seed=-1"),
    ("train", ["--seed=9223372036854775808"], "seed=9223372036854775808"),
    ("train", ["--batch_size=1.5"], "batch_size=1.5"),
    ("train", ["--learning_rate=nan"], "--learning_rate must be a number"),
    ("train", ["--learning_rate=inf"], "--learning_rate must be finite"),
    ("train", ["--learning_rate=-1"], "--learning_rate must be positive"),
    ("train", ["--learning_rate=1/0"], "'1/0' is not a number"),
    ("train", ["--num_train=0"], "num_train=0"),
    ("train", ["--log_every=3", "--checkpoint_every=4"], "--checkpoint_every must be a multiple of --log_every"),
    ("train", ["--out_dir=a\x00b"], "is not printable text"),
    ("train", ["--out_dir=a\x1b[31mb"], "is not printable text"),
    ("train", ["--system=\udcff"], "is not printable text"),
    # The language of values.
    *[
        ("train", [*TOY, f"--{flag}={text}"], words)
        for flag, text, words in [
            ("system", "Q", "--system: 'Q' is none of"),
            ("system", "P(beta=-1)", "beta must be 0 or greater"),
            ("system", "P(beta=much)", "beta must be a number, got 'much'"),
            ("system", "P(beta=1/0)", "is not of the form"),
            ("system", "P(beta=1, beta=2)", "is not of the form"),
            ("system", "P(gain=2)", "P has no option 'gain'; it has"),
            ("system", "P(**beta)", "P has no option 'None'"),
            ("system", "PGD(norm=l7)", "norm must be one of l1, l2, linf"),
            ("system", "PGD(radius=8)", "did you mean 8/255"),
            ("system", "PGD(radius=nan)", "radius must be a number, got 'nan'"),
            ("system", "PGD(num_steps=0)", "num_steps must be a whole number of at least 1"),
            ("system", "PGD(box=(1, 0))", "in rising order"),
            ("system", "V+", "is not of the form"),
            ("system", "__import__('os')", "is not of the form"),
            ("system", "os:path", "method must be a Method"),
            ("system", "no_such_module:thing", "is not known here"),
            ("system", "(" * 3000, "is not of the form"),
            ("system", "+".join(["V"] * 500), "is not of the form"),
            ("system", "P(layers=P)", "layers must be one of vanilla"),
            ("network", "mlp(widths=5)", "widths must be several whole numbers, got 5"),
            ("network", "mlp(widths=(0,))", "each of widths must be a whole number of at least 1"),
            ("network", "mlp(widths=(1000000000,1000000000))", "bytes of memory"),
            ("network", "mlp(dtype=int8)", "dtype must be one of"),
            ("network", "mlp(layers=soft)", "layers must be one of"),
            ("network", "mlp+mlp", "has several names, and one is possible"),
            ("network", "cnn", "a convolution needs images"),
            ("network", "os:path", "network must be a Network"),
            ("optimizer", "adam(b1=2)", "b1 must be at least 0 and below 1"),
            ("optimizer", "adam(b1='x')", "b1 must be a number, got 'x'"),
            ("optimizer", "sgd(nesterov=3)", "nesterov must be True or False"),
            ("optimizer", "adagrad", "--optimizer: 'adagrad' is none of adam"),
            ("optimizer", "os:path", "optimizer must be"),
            ("schedule", "cosine(warmup=2)", "warmup must be between 0 and 1"),
            ("schedule", "drops(at=0.5)", "at must be several numbers, got 0.5"),
            ("schedule", "drops(at=(2,))", "each of at must be between 0 and 1"),
            ("augment", "random_crop(padding=-1)", "padding must be a whole number of at least 0"),
            ("augment", "random_crop", "an image must be [height, width, channel], got shape (1,)"),
            ("augment", "flip_left_right", "an image must be [height, width, channel], got shape (1,)"),
            ("augment", "os:path", "augment must be"),
            ("num_devices", "4096", "--num_devices must be at most"),
            ("batch_size", "1000000", "--batch_size must be at most the"),
            ("num_train", "1000000", "--num_train or --num_test"),
            ("dataset", "huggingface:mnist", "only a version may follow a colon"),
            ("dataset", "nothing.npz", "there is no such folder or .npz file"),
            ("dataset", "a b{}", "a b{}"),
        ]
    ],
    # Other commands.
    *[
        (command, flags.split(), words)
        for command, flags, words in [
            ("toy", "--learning_rate=-1", "--learning_rate must be positive"),
            ("toy", "--radius=0.3", "--radius must be above 0 and below 0.25"),
            ("toy", "--radius=nan", "--radius must be"),
            ("toy", "--seed=-1", "seed=-1"),
            ("corrupt", "--severities=6", "--severities must be among 1, 2, 3, 4, 5"),
            ("corrupt", "--severities=0", "severities=0"),
            ("corrupt", "--severities=", "--severities must be among 1, 2, 3, 4, 5"),
            ("corrupt", "--corruptions=rain", "'rain' is none of all"),
            ("corrupt", "--dataset=toy", "--dataset"),
            ("corrupt", "--num_test=0", "num_test=0"),
            ("compatibility", "--dataset=toy --radius=nan", "--radius must be a number"),
            ("compatibility", "--dataset=toy --radius=-1", "--radius must be 0 or greater"),
            ("compatibility", "--dataset=toy --distances=0", "--distances must be positive"),
            ("compatibility", "--dataset=toy --distances=inf", "--distances must be finite"),
            ("compatibility", "--dataset=toy --norm=l3", "norm=l3"),
            ("compatibility", "--dataset=toy --split=all", "split=all"),
            ("compatibility", "--dataset=toy --num_examples=0", "num_examples=0"),
            ("sweep", "--dataset=toy --network=mlp --corruptions=fog", "an image must be at least 8 x 8"),
            ("sweep", "--dataset=toy --network=mlp --corruptions=rain", "'rain' is none of"),
            ("sweep", "--cells=json:loads --num_test=20 --corruptions=contrast", "--cells"),
            ("study", "--preset=fast", "preset=fast"),
            ("study", "--log_every=3", "--checkpoint_every must be a multiple of --log_every"),
            ("study", "--store=~no_such_user/runs", "a home folder that there is not"),
            ("train", "--dataset=toy --network=mlp --out_dir=~no_such_user", "a home folder that there is not"),
            ("study", "--num_points=0", "num_points=0"),
            ("compare", "nothing/*", "no run directory with measurements matches nothing"),
            ("compare", "--format=html", "format=html"),
            ("list", "--sort=size", "sort=size"),
            ("list", "--state=lost", "state=lost"),
            ("robustness", "--run_dir=nothing", "nothing can't be read as a training run"),
            ("robustness", "--run_dir=run --attacks=pgd(steps=3)", "pgd has no option 'steps'"),
            ("robustness", "--run_dir=run --attacks=os:path", "attack must be"),
            ("robustness", "--run_dir=run --radius=inf", "--radius must be finite"),
            ("robustness", "--run_dir=run --radius=9", "wider than the box"),
            ("robustness", "--run_dir=run --corruptions=fog", "an image must be at least 8 x 8"),
            ("robustness", "--run_dir=run --smoothing_sigma=-1", "--smoothing_sigma must be 0 or greater"),
            ("robustness", "--run_dir=run --smoothing_failure=2", "--smoothing_failure must be above 0 and below 1"),
            ("robustness", "--run_dir=run --smoothing_radii=-1", "--smoothing_radii must be 0 or greater"),
            ("robustness", "--run_dir=run --certified_radii=nan", "--certified_radii must be several numbers"),
            ("robustness", "--run_dir=run --baseline=nothing.json", "--baseline"),
            ("robustness", "--run_dir=run --baseline=list.json", "--baseline"),
            ("robustness", "--run_dir=run --baseline=torn.json", "is not a JSON file"),
            ("robustness", "--run_dir=run --measurements=nothing", "'nothing' is none of"),
            ("robustness", "--run_dir=run --published=nothing", "--published"),
            ("robustness", "--run_dir=torn", "torn can't be read as a training run"),
            ("robustness", "--run_dir=other", "other can't be read as a training run"),
            ("local_lipschitz", "--run_dir=run --radii=-1", "--radii must be positive"),
            ("local_lipschitz", "--run_dir=run --of=margins", "of=margins"),
            ("local_lipschitz", "--run_dir=run --bound=best", "bound=best"),
            ("local_lipschitz", "--run_dir=run --estimator=growing_slope(num_samples=1,num_restarts=2)", "num_samples"),
            ("local_lipschitz", "--run_dir=run --norm_in=l0", "norm_in=l0"),
            ("audit", "--run_dir=run --tolerance=-1", "--tolerance must be 0 or greater"),
            ("audit", "--run_dir=run --tolerance=nan", "--tolerance must be a number"),
            ("refute", "--run_dir=run --claimed=-1", "--claimed must be 0 or greater"),
            ("refute", "--run_dir=run --radius=nan", "--radius must be a number"),
            ("refute", "--run_dir=run --example=100000", "--example must be below the"),
        ]
    ],
    *[
        ("sweep", [*SMALL, *flags.split()], words)
        for flags, words in [
            ("--system=P(beta=[1e-3,-1])", "beta must be 0 or greater"),
            ("--system=V,V", "--system has one twice"),
            ("--system=V(learning_rate=-1)", "--learning_rate must be positive"),
            ("--seed=0:999999999", "more than 100,000 numbers"),
            ("--seed=0:1:2", "seed=0:1:2"),
            ("--radii=0", "--radii must be positive"),
            ("--launcher=os:path", "--launcher: launcher must be a slurm"),
            ("--launcher=slurm(num_jobs=0)", "num_jobs must be a whole number of at least 1"),
            ("--radii=", "--radii must be positive numbers, got none"),
            ("--radii=inf", "--radii must be finite"),
            ("--estimator=talk_slope(num_samples=0)", "num_samples must be a whole number"),
            ("--estimator=jacobian_norm", "estimator"),
            ("--estimator=pgd", "'pgd' is none of"),
            ("--attacks=pgd(num_steps=0)", "num_steps must be a whole number of at least 1"),
            ("--radius=-1", "radius must be 0 or greater"),
        ]
    ],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of an untrained network, damaged ones, and files that are no baseline."""
    folder = tmp_path_factory.mktemp("files")
    network = networks.mlp(2, widths=(2,))
    for name in ("run", "torn", "other"):
        (folder / name).mkdir()
        records.save_model(folder / name, Model(network, network.init(jax.random.key(0), (1,))), (1,))
        (folder / name / "flags.json").write_text(json.dumps({"system": "V", "dataset": "toy", "seed": 0}))
    torn = folder / "torn" / "model.npz"
    torn.write_bytes(torn.read_bytes()[:-9])
    (folder / "other" / "flags.json").write_text("[]")
    (folder / "list.json").write_text("[1, 2]")
    (folder / "torn.json").write_text('{"fog": ')
    return folder


def content(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize(("command", "flags", "words"), FLAGS, ids=[str(index) for index in range(len(FLAGS))])
def test_a_bad_command_ends_with_one_line_and_changes_nothing(
    command: str,
    flags: list[str],
    words: str,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(files)
    before = content(files)
    module = importlib.import_module(f"experiments.{command}")
    with pytest.raises(SystemExit) as end:
        process.main(module.Config, module.run, module.__doc__, flags)
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert words in told.err
    assert content(files) == before
