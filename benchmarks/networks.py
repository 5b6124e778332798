"""lipjax's networks against the same ones in PyTorch: a training step and inference, in one run.

    python -m benchmarks.networks [--num_rounds=5] [--batch_size=100] [--networks=cnn,resnet] [--compiled]

Adam on random images; PyTorch is channels_last, with as many threads as this process has cores, eager, and by
`torch.compile` too with `--compiled`: the ratio is with the better of both. All take turns; processor time is told, as
medians, compilation apart. Without PyTorch only lipjax's times are told.
"""

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lipjax import networks, report, training
from lipjax.types import Batch, Method, Network

Run = Callable[[], Any]


class Contest(NamedTuple):
    """A network of lipjax, the shape of its images, and the same in PyTorch."""

    network: Network
    shape: tuple[int, int, int]
    in_torch: Callable[[], Any]


def torch_cnn(shape: tuple[int, int, int], channels: tuple[int, ...], width: int) -> Any:
    """`networks.cnn` as a module."""
    from torch import nn

    size, before, layers = shape[0], shape[2], []
    for features in channels:
        size = -(-size // 2)
        layers += [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(before, features, 3, stride=2), nn.ReLU()]
        before = features
    layers += [nn.Flatten(), nn.Linear(size * size * before, width), nn.ReLU(), nn.Linear(width, 10)]
    return nn.Sequential(*layers)


def torch_resnet(stem: int, stages: Sequence[int], num_blocks: int = 2) -> Any:
    """`networks.preact_resnet` or `networks.wide_resnet` as a module, by the channels of its stages."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self, before: int, features: int, stride: int) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.BatchNorm2d(before), nn.BatchNorm2d(features)])
            self.first = nn.Conv2d(before, features, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            is_same = stride == 1 and before == features
            self.skip = None if is_same else nn.Conv2d(before, features, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            active = self.norms[0](x).relu()
            skip = x if self.skip is None else self.skip(active)
            return skip + self.second(self.norms[1](self.first(active)).relu())

    blocks, before = [], stem
    for stage, features in enumerate(stages):
        blocks.append(Block(before, features, 2 if stage else 1))
        blocks += [Block(features, features, 1) for _ in range(num_blocks - 1)]
        before = features
    end = [nn.BatchNorm2d(before), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), *blocks, *end)


GREY, COLOUR = (28, 28, 1), (32, 32, 3)
CONTESTS = {
    "cnn": Contest(networks.cnn(10), GREY, lambda: torch_cnn(GREY, (16, 32), 64)),
    "wide cnn": Contest(
        networks.cnn(10, channels=(32, 64), widths=(128,)), COLOUR, lambda: torch_cnn(COLOUR, (32, 64), 128)
    ),
    "resnet": Contest(networks.preact_resnet(10, width=16), COLOUR, lambda: torch_resnet(16, (16, 32, 64, 128))),
    "resnet64": Contest(networks.preact_resnet(10), COLOUR, lambda: torch_resnet(64, (64, 128, 256, 512))),
    "wide resnet": Contest(
        networks.wide_resnet(10, depth=16, width=4), COLOUR, lambda: torch_resnet(16, (64, 128, 256))
    ),
}


class Ours(NamedTuple):
    """What to run by work, the compiled programs of it, and the seconds that the training step took to compile."""

    runs: dict[str, Run]
    programs: dict[str, jax.stages.Compiled]
    compilation: float


def by_lipjax(network: Network, batch: Batch) -> Ours:
    """A training step and inference by lipjax."""
    optimizer, key = training.adam(1e-3), jax.random.key(0)
    state = training.init(key, network, batch.inputs.shape[1:], optimizer)
    variables = state.variables
    start = time.process_time()
    step = jax.jit(training.make_step(network, Method(), optimizer)).lower(key, state, batch).compile()
    seconds = time.process_time() - start

    def logits(variables: Any, images: jax.Array) -> jax.Array:
        return network.apply(variables, images, train=False)[0].logits

    infer = jax.jit(logits).lower(variables, batch.inputs).compile()

    def advance() -> None:
        nonlocal state
        state, _ = step(key, state, batch)
        jax.block_until_ready(state.variables.params)

    runs = {"training": advance, "inference": lambda: infer(variables, batch.inputs).block_until_ready()}
    return Ours(runs, {"training": step, "inference": infer}, seconds)


def by_torch(module: Any, batch: Batch, is_compiled: bool = False) -> dict[str, Run]:
    """The same in PyTorch."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    module = module.to(memory_format=torch.channels_last)
    images = torch.from_numpy(np.array(batch.inputs)).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
    labels = torch.from_numpy(np.array(batch.labels, np.int64))
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    if is_compiled:
        module = torch.compile(module)

    def advance() -> None:
        module.train()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()

    def infer() -> None:
        module.eval()
        with torch.inference_mode():
            module(images)

    return {"training": advance, "inference": infer}


def milliseconds(run: Run, least: float = 0.2) -> float:
    """Processor time of one call, over as many as are needed to measure it."""
    count, spent = 0, 0.0
    while spent < least:
        start = time.process_time()
        run()
        count, spent = count + 1, spent + time.process_time() - start
    return 1e3 * spent / count


class Outcome(NamedTuple):
    """Milliseconds by rival and work, and the seconds and bytes that lipjax's training step took to compile and run."""

    milliseconds: dict[tuple[str, str], float]
    compilation: float
    temporary_bytes: int


def measured(name: str, batch_size: int, num_rounds: int, with_compiled: bool = False) -> Outcome:
    """Medians of rounds in which the rivals take turns."""
    contest = CONTESTS[name]
    images = jax.random.uniform(jax.random.key(1), (batch_size, *contest.shape))
    batch = Batch(images, jnp.arange(batch_size) % 10)
    ours = by_lipjax(contest.network, batch)
    rivals = {"lipjax": ours.runs}
    if importlib.util.find_spec("torch") is not None:
        rivals["PyTorch"] = by_torch(contest.in_torch(), batch)
        if with_compiled:
            rivals["PyTorch, compiled"] = by_torch(contest.in_torch(), batch, is_compiled=True)
    for runs in rivals.values():
        for run in runs.values():
            run()
    rounds = [
        {(rival, work): milliseconds(runs[work]) for work in ours.runs for rival, runs in rivals.items()}
        for _ in range(num_rounds)
    ]
    medians = {entry: statistics.median(one[entry] for one in rounds) for entry in rounds[0]}
    memory: Any = ours.programs["training"].memory_analysis()
    return Outcome(medians, ours.compilation, memory.temp_size_in_bytes)


def rows(name: str, outcome: Outcome) -> list[dict[str, str]]:
    """Rows of the table for one network."""
    spent = outcome.milliseconds

    def ratio(work: str) -> float:
        theirs = [time for (rival, one), time in spent.items() if one == work and rival != "lipjax"]
        return min(theirs, default=float("nan")) / spent["lipjax", work]

    return [
        {
            "network": name,
            "work": work,
            **{f"{rival} ms": f"{spent[rival, work]:.1f}" for rival, one in spent if one == work},
            "PyTorch / lipjax": f"{ratio(work):.2f}",
            "compiled in s": f"{outcome.compilation:.1f}" if work == "training" else "",
            "temporary MB": f"{outcome.temporary_bytes / 1e6:.0f}" if work == "training" else "",
        }
        for work in ("training", "inference")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_rounds", type=int, default=5, help="rounds in which both take turns")
    parser.add_argument("--batch_size", type=int, default=100, help="images at once")
    parser.add_argument("--networks", default=",".join(CONTESTS), help=f"of {', '.join(CONTESTS)}")
    parser.add_argument("--compiled", action="store_true", help="torch.compile too, which takes minutes")
    flags = parser.parse_args()
    if unknown := set(flags.networks.split(",")) - set(CONTESTS):
        parser.error(f"--networks: {', '.join(sorted(unknown))} is none of {', '.join(CONTESTS)}")
    outcomes = {
        name: measured(name, flags.batch_size, flags.num_rounds, flags.compiled) for name in flags.networks.split(",")
    }
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, batch {flags.batch_size}")
    print(report.text_table([row for name, outcome in outcomes.items() for row in rows(name, outcome)]))


if __name__ == "__main__":
    main()
