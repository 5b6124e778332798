"""The programs that accelerators run, made without one: what lowers for GPUs and TPUs, and what it takes on a TPU.

    python -m benchmarks.accelerators [--only=train] [--topology=v5e:2x2] [--network=preact_resnet] [--batch_size=512]

The training step of every system, attacks, estimators and corruptions are exported for `cuda` and `tpu`. With
--topology, for which libtpu has to be installed, those of training are also compiled for the chips of TPUs, with the
batch spread over them: memory and floating point operations of a chip, and how long the compiler took.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lipjax import attacks, corruptions, estimators, networks, norms, parallel, report, systems, training
from lipjax.batching import over_examples
from lipjax.losses import cross_entropy
from lipjax.types import Batch, Model

PLATFORMS = ("cuda", "tpu")
SHAPE = (32, 32, 3)


class Job(NamedTuple):
    """A program, and the shapes of its arguments."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def shapes_of(make: Callable[..., Any], *args: Any) -> Any:
    """Shapes and types of what a function makes, without making it."""
    return jax.eval_shape(make, *args)


def batches(size: int) -> Batch:
    """A batch of uint8 images, as shapes."""
    return Batch(jax.ShapeDtypeStruct((size, *SHAPE), jnp.uint8), jax.ShapeDtypeStruct((size,), jnp.int32))


KEY = jax.eval_shape(lambda: jax.random.key(0))


def trainings(network: Any, batch_size: int) -> Iterator[Job]:
    """The training step of every system."""
    optimizer = training.sgd(0.1)
    for name, row in systems.ROWS.items():
        if name in systems.TALK:
            continue  # the same rows by their short names
        system = row(network)
        state = shapes_of(lambda key, net=system.network: training.init(key, net, SHAPE, optimizer), KEY)
        step = training.make_step(system.network, system.method, optimizer)
        yield Job(f"train {name}", step, (KEY, state, batches(batch_size)))


def searches(network: Any, batch_size: int) -> Iterator[Job]:
    """Attacks and estimators around the points of a batch, predictions, corruptions."""
    variables = shapes_of(lambda key: network.init(key, SHAPE), KEY)
    points = jax.ShapeDtypeStruct((batch_size, *SHAPE), jnp.float32)
    labels = batches(batch_size).labels

    def model(given: Any) -> Callable[..., Any]:
        return Model(network, given).single

    yield Job("predict", lambda given, xs: jax.vmap(model(given))(xs), (variables, points))
    ball = norms.linf.ball(8 / 255)
    for attack in (attacks.pgd(ball), attacks.momentum_pgd(ball), attacks.apgd(ball), attacks.square(ball)):

        def attacked(key: Any, given: Any, xs: Any, ys: Any, attack: Any = attack) -> Any:
            f = model(given)
            return over_examples(lambda own, x, y: attack(own, lambda z: cross_entropy(f(z), y), x))(key, xs, ys)

        yield Job(f"attack {type(attack).__name__}", attacked, (KEY, variables, points, labels))
    ball = norms.l2.ball(0.25)
    for estimator in (
        estimators.sampled_slope(ball),
        estimators.ascent_slope(ball),
        estimators.growing_slope(ball),
        estimators.pairwise_slope(ball),
        estimators.jacobian_norm(),
    ):

        def estimated(key: Any, given: Any, xs: Any, estimator: Any = estimator) -> Any:
            return over_examples(lambda own, x: estimator(own, model(given), x).value)(key, xs)

        yield Job(f"estimate {type(estimator).__name__}", estimated, (KEY, variables, points))


def images(batch_size: int) -> Iterator[Job]:
    """Every corruption."""
    levels = batches(batch_size).inputs
    for name in corruptions.NAMES:

        def corrupted(key: Any, xs: Any, name: str = name) -> Any:
            return over_examples(lambda own, x: corruptions.apply(x, corruptions.draw(own, SHAPE, name, 3), name, 3))(
                key, xs
            )

        yield Job(f"corrupt {name}", corrupted, (KEY, levels))


def exported(job: Job, platform: str) -> str:
    """How large the program is for a platform, in kB; or why it can't be lowered for it."""
    try:
        program = jax.export.export(jax.jit(job.function), platforms=[platform])(*job.arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"
    return str(len(program.mlir_module_serialized) // 1024)


def topology(name: str) -> list[Any]:
    """The chips of a topology of TPUs, none of which is here."""
    from jax.experimental import topologies

    chips = 1
    for side in name.partition(":")[2].split("x"):
        chips *= int(side)
    os.environ.update(
        TPU_ACCELERATOR_TYPE=f"v5litepod-{chips}", TPU_WORKER_HOSTNAMES="localhost", TPU_SKIP_MDS_QUERY="1"
    )
    return list(topologies.get_topology_desc(platform="tpu", topology_name=name).devices)


def compiled(job: Job, devices: list[Any]) -> dict[str, str]:
    """What a chip needs, the batch spread over all of them and the rest whole on each."""
    mesh = parallel.mesh(devices)
    *others, batch = job.arguments
    placed = [_placed(part, mesh, jax.P()) for part in others]
    placed.append(_placed(batch, mesh, jax.P(parallel.AXIS)))
    start = time.perf_counter()
    try:
        program = jax.jit(job.function).trace(*placed).lower(lowering_platforms=("tpu",)).compile()
    except Exception as error:
        return {"GB a chip": f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"}
    memory: Any = program.memory_analysis()
    size = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
        "GB a chip": f"{(size + memory.temp_size_in_bytes) / 2**30:.2f}",
        "Tflop a chip": f"{program.cost_analysis()['flops'] / 1e12:.3f}",
        "compile s": f"{time.perf_counter() - start:.0f}",
    }


def _placed(tree: Any, mesh: jax.sharding.Mesh, spec: jax.P) -> Any:
    sharding = jax.NamedSharding(mesh, spec)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def jobs(family: str, batch_size: int) -> Iterator[Job]:
    """All of them."""
    network = networks.preact_resnet(10) if family == "preact_resnet" else networks.wide_resnet(10, depth=28, width=10)
    yield from trainings(network, batch_size)
    yield from searches(networks.cnn(10), 64)
    yield from images(64)


def main() -> None:
    """Prints a row for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="programs whose names have this in them")
    parser.add_argument("--topology", default="", help="compile the training steps for it, such as v5e:2x2")
    parser.add_argument("--network", default="preact_resnet", choices=("preact_resnet", "wide_resnet"))
    parser.add_argument("--batch_size", type=int, default=512)
    options = parser.parse_args()
    devices = topology(options.topology) if options.topology else []
    rows = []
    for job in jobs(options.network, options.batch_size):
        if options.only not in job.name:
            continue
        row = {"program": job.name} | {f"{platform} kB": exported(job, platform) for platform in PLATFORMS}
        rows.append(row | (compiled(job, devices) if devices and job.name.startswith("train") else {}))
        print(*rows[-1].values(), flush=True)
    if not rows:
        parser.error(f"no program has {options.only!r} in its name; training steps are named train vanilla, ...")
    print(report.text_table(rows))


if __name__ == "__main__":
    main()
