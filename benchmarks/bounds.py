"""Upper bounds: lipjax against LipSDP, eclipse-nn and auto_LiRPA on networks that others have published.

    pip install eclipse-nn
    python -m benchmarks.bounds [lipsdp] [eclipse] [lirpa] [compile] [--networks=../shared/data/networks]

    lipsdp    global bounds of all dense networks of GLipSDP and of LipSDP's own examples, by multipliers: the stored
              values of LipSDP, and how far the best pair found is below
    eclipse   local bounds in l2: eclipse-nn, four points one after another, against 200 at once
    lirpa     local bounds in linf: the stored values and seconds of auto_LiRPA 0.7.1 on the same points
    compile   what compiling each local bound of the study's `cnn` takes, with points, radii and weights traced

Seconds are of the processor. What is not there (networks, eclipse-nn) is left out with a word.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import estimators, networks, report
from lipjax.bounds import check_bracket, global_bound, local_bound
from lipjax.norms import l2, linf
from lipjax.types import Model

Layers = list[tuple[np.ndarray, np.ndarray]]
Rows = list[dict[str, Any]]

NUM_POINTS, NUM_MORE, RADII = 4, 200, (0.01, 0.1, 1.0, 10.0)
METHODS = ("interval", "expansion", "linear")
NETWORKS = Path(__file__).parents[2] / "shared" / "data" / "networks"
"""Where the published networks are, if they are anywhere."""


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = jax.block_until_ready(call())
    return time.process_time() - start, result


def dense(layers: Layers) -> Callable[[jax.Array], jax.Array]:
    def f(x: jax.Array) -> jax.Array:
        for kernel, bias in layers[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ layers[-1][0] + layers[-1][1]

    return f


def glipsdp(arrays: dict[str, np.ndarray], name: str) -> Layers:
    """The layers of a network, of its logit 7 alone."""
    count = int(name[3])
    layers = [tuple(arrays[f"{name}/fc{i}_{part}"] for part in ("weight", "bias")) for i in range(1, count + 1)]
    layers[-1] = tuple(part[:, 7:8] for part in layers[-1])
    return [(kernel.astype(np.float32), bias[0].astype(np.float32)) for kernel, bias in layers]


def steepest(f: Callable, size: int) -> float:
    """The largest quotient of a pair that a search finds."""
    search = estimators.pairwise_slope(l2.ball(10.0, box=None), num_samples=32, num_steps=50, num_restarts=2)
    return float(search(jax.random.key(0), f, jnp.zeros(size)).value)


def lipsdp(folder: Path) -> Rows:
    stored = json.loads((folder / "glipsdp_fnn.json").read_text())
    arrays, examples = dict(np.load(folder / "glipsdp_fnn.npz")), dict(np.load(folder / "lipsdp_examples.npz"))
    cases = [
        (f"{kind}_{seed}", dense(glipsdp(arrays, f"{kind}_{seed}")), 64, value)
        for kind in stored
        for seed, value in enumerate(stored[kind]["Lip_LipSDP"])
    ]
    for name, count, size, value in (("random_weights", 4, 2, 36.482), ("mnist_weights", 2, 784, 24.365)):
        kernels = [examples[f"{name}/{index}"].T.astype(np.float32) for index in range(count)]
        cases.append(
            (name, dense([(kernel, np.zeros(kernel.shape[1], np.float32)) for kernel in kernels]), size, value)
        )
    rows = Rows()
    for name, f, size, value in cases:
        spent, bound = seconds(partial(global_bound, f, (size,), method="sdp"))
        lower = steepest(f, size)
        check_bracket(name, [np.inf], np.array([[lower]]), np.array([[bound]]))
        rows.append(
            {"network": name, "lower": lower, "LipSDP": value, "lipjax": bound, "lipjax / LipSDP": bound / value}
        )
        rows[-1] |= {"upper / lower": bound / lower, "s": spent}
    return rows


def eclipse(folder: Path) -> Rows:
    if importlib.util.find_spec("eclipse_nn") is None:
        print("eclipse-nn is not installed")
        return []
    import torch
    from eclipse_nn import LipConstEstimator

    arrays, rows = dict(np.load(folder / "glipsdp_fnn.npz")), Rows()
    xs = np.random.default_rng(0).uniform(size=(NUM_MORE, 64)).astype(np.float32)
    for name in ("fnn2_0", "fnn3_0"):
        layers = glipsdp(arrays, name)
        weights, biases = (
            [torch.tensor(part.T.astype(float)) for part in parts] for parts in zip(*layers, strict=True)
        )
        rival = LipConstEstimator(weights=weights, biases=biases)

        def theirs(rival: Any = rival) -> np.ndarray:
            with contextlib.redirect_stdout(io.StringIO()):
                found = [
                    [rival.estimate_gen_local(x, radius, "relu", "Fast")[0] for radius in RADII]
                    for x in xs[:NUM_POINTS]
                ]
            return np.array(found)

        f = dense(layers)

        def local(x: jax.Array, radius: jax.Array, f: Callable = f) -> jax.Array:
            return local_bound(f, x, l2.ball(radius, box=None), method="linear")

        every = jax.jit(jax.vmap(jax.vmap(local, (None, 0)), (0, None)))
        every(xs, jnp.array(RADII)).block_until_ready()

        def ours(every: Callable = every, f: Callable = f) -> np.ndarray:
            return np.minimum(every(xs, jnp.array(RADII)), global_bound(f, (64,), method="sdp"))

        (spent_theirs, rival_bounds), (spent, bounds) = seconds(theirs), seconds(ours)
        rates = rival_bounds.size / spent_theirs, bounds.size / spent
        rows += [
            {"network": name, "radius": radius, "eclipse-nn": np.median(theirs), "lipjax": float(np.median(mine))}
            | {"largest ratio": np.max(mine / theirs), "eclipse-nn, bounds / s": rates[0]}
            | {"lipjax, bounds / s": rates[1], "times": rates[1] / rates[0]}
            for radius, mine, theirs in zip(RADII, bounds[:NUM_POINTS].T, rival_bounds.T, strict=True)
        ]
    return rows


def published(folder: Path, name: str) -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    """A network of `public_nets` without joins, and the first image of its data."""
    spec = json.loads((folder / "public_nets.json").read_text())["networks"][name]
    arrays = dict(np.load(folder / "public_nets.npz"))

    def f(x: jax.Array) -> jax.Array:
        for kind, *settings in spec["layers"]:
            if kind == "norm":
                x = (x - np.array(settings[0], np.float32)) / np.array(settings[1], np.float32)
            elif kind == "flatten":
                x = jnp.moveaxis(x, -1, 0).ravel()
            elif kind == "relu":
                x = jax.nn.relu(x)
            else:
                kernel, bias = (jnp.asarray(arrays[f"{name}/{settings[0]}.{part}"]) for part in ("weight", "bias"))
                x = (kernel @ x if kind == "linear" else convolved(x, kernel, *settings[1:])) + bias
        return x

    image = arrays[f"images/{spec['dataset']}"][0]
    return f, jnp.asarray(image, jnp.float32) / (255 if image.max() > 1 else 1)


def convolved(x: jax.Array, kernel: jax.Array, stride: int, padding: int) -> jax.Array:
    kernel, pads = kernel.transpose(2, 3, 1, 0), [(padding, padding)] * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x[None], kernel, (stride, stride), pads, dimension_numbers=layout)[0]


def lirpa(folder: Path) -> Rows:
    stored, rows = json.loads((folder / "public_nets.json").read_text())["constants"], Rows()
    for name, values in stored["auto_LiRPA_0.7.1"].items():
        f, x = published(folder, name)
        bound = jax.jit(lambda x, radius, f=f: local_bound(f, x, linf.ball(radius), method="linear"))
        first, _ = seconds(partial(bound, x, 0.0))
        for radius, value, lower in zip(stored["radii"], values, stored["lipjax_lower"][name], strict=True):
            spent, ours = seconds(partial(bound, x, radius))
            row = {"network": name, "radius": radius, "lower": lower, "auto_LiRPA": value, "lipjax": float(ours)}
            row |= {"ratio": float(ours) / value, "auto_LiRPA, s": stored["auto_LiRPA_seconds_a_point"][name]}
            rows.append(row | {"lipjax, s": spent, "first call, s": first})
    return rows


def compiled(_: Path) -> Rows:
    network, x, rows = networks.cnn(10), jnp.full((28, 28, 1), 0.5), Rows()
    model = Model(network, network.init(jax.random.key(0), x.shape))
    for method in METHODS:
        bound = jax.jit(lambda model, x, radius, method=method: local_bound(model, x, l2.ball(radius), method=method))
        first, _ = seconds(partial(bound, model, x, 0.01))
        later, _ = seconds(partial(bound, model, x, 0.01))
        rows.append({"method": method, "first call, s": first, "later, s": later})
    return rows


CONTESTS: dict[str, Callable[[Path], Rows]] = {
    "lipsdp": lipsdp,
    "eclipse": eclipse,
    "lirpa": lirpa,
    "compile": compiled,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contests", nargs="*", choices=[*CONTESTS, []])
    parser.add_argument("--networks", type=Path, default=NETWORKS, help="folder of the published networks")
    flags = parser.parse_args()
    for name in flags.contests or CONTESTS:
        if name != "compile" and not flags.networks.is_dir():
            print(f"{name}: no networks in {flags.networks}")
        elif rows := CONTESTS[name](flags.networks):
            print(f"{report.text_table(rows)}\n", flush=True)


if __name__ == "__main__":
    main()
