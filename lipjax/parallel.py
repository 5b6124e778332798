"""Meshes, shardings and processes: the one place that knows about them.

Training is data-parallel: every device holds the parameters and computes its part of the batch. Searches around many
points are too, and there no device waits for another. A mesh of one device, or None in its place, is the ordinary
program.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int, PyTree

from lipjax import checks

AXIS = "batch"

_CHOSEN: ContextVar[tuple[Mesh | None] | None] = ContextVar("_CHOSEN", default=None)

_SILENCE = 30
"""Seconds without a sign of life after which a process counts as dead."""


def mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, `"batch"`, over the devices.

    Args:
        devices: Devices to use; None takes all, those of other processes included.

    Examples:
        >>> mesh(jax.devices()[:1]).size
        1
    """
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


@contextlib.contextmanager
def over(mesh: Mesh | None) -> Iterator[None]:
    """Inside, whatever is computed for each example by itself is spread over the mesh; None for the default device.

    Examples:
        >>> with over(mesh(jax.devices()[:1])):
        ...     current().size
        1
    """
    token = _CHOSEN.set((mesh,))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def current() -> Mesh | None:
    """The mesh for what is computed for each example by itself: that of `over`, or else of all devices if several.

    Examples:
        >>> with over(None):
        ...     print(current())
        None
    """
    chosen = _CHOSEN.get()
    return chosen[0] if chosen else mesh() if jax.device_count() > 1 else None


def filled(count: int) -> int:
    """The number of examples, repetitions included, that divides among the devices of the current mesh.

    Examples:
        >>> with over(mesh(jax.devices()[:1])):
        ...     filled(5)  # with two devices 6
        5
    """
    mesh = current()
    return count if mesh is None else count + -count % mesh.size


def spread(tree: PyTree) -> PyTree:
    """Arrays, the same in all processes, with their leading axis spread over the current mesh.

    Examples:
        >>> with over(mesh(jax.devices()[:1])):
        ...     spread({"x": np.arange(4.0)})["x"].sharding.spec == PartitionSpec("batch")
        True
    """
    mesh = current()
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def on_host(source: Any) -> Any:
    """What rows can be taken of without the device: an array of it is fetched, what reads by itself stays.

    Examples:
        >>> on_host(jax.numpy.arange(2))
        array([0, 1], dtype=int32)
    """
    return source if hasattr(source, "shape") and not isinstance(source, jax.Array) else np.asarray(source)


def taken(source: Any, rows: Int[np.ndarray, "..."], mesh: Mesh | None, axis: int = 0) -> jax.Array:
    """Rows of what is in memory or on disk, on the devices; a process reads those of its own devices only.

    Args:
        source: Anything with a shape, a dtype and rows, the same in all processes.
        rows: Which ones, in an array of any shape.
        mesh: Over which they are spread; None for the default device.
        axis: Which axis of the rows is spread, a multiple of the number of devices.

    Examples:
        >>> taken(np.arange(10) ** 2, np.array([[1, 2], [3, 4]]), mesh(jax.devices()[:1]), axis=1)
        Array([[ 1,  4],
               [ 9, 16]], dtype=int32)
    """
    if mesh is None:
        return jax.numpy.asarray(source[rows])
    dtype = jax.dtypes.canonicalize_dtype(source.dtype)

    def part(index: Any) -> np.ndarray:
        return np.asarray(source[rows[index[: rows.ndim]]], dtype)

    sharding = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
    return jax.make_array_from_callback((*rows.shape, *source.shape[1:]), sharding, part)


def memory() -> int:
    """Bytes of memory of a device, of the machine where the device does not tell.

    Examples:
        >>> memory() > 2**20
        True
    """
    told = jax.local_devices()[0].memory_stats() or {}
    return told.get("bytes_limit") or checks.memory()


def fetched(array: jax.Array) -> np.ndarray:
    """An array as a whole in this process, wherever its parts are.

    Examples:
        >>> with over(mesh(jax.devices()[:1])):
        ...     fetched(spread(np.arange(3.0, dtype=np.float32)))
        array([0., 1., 2.], dtype=float32)
    """
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def replicate(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """The arrays, whole on every device of the mesh; on the default device if mesh is None.

    Examples:
        >>> replicate(jax.numpy.arange(3.0), mesh(jax.devices()[:1])).sharding.is_fully_replicated
        True
    """
    return jax.device_put(tree, None if mesh is None else NamedSharding(mesh, PartitionSpec()))


def shard_batch(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """The arrays with their leading axis spread over the mesh, inside `jit` or outside; as they are if mesh is None.

    Args:
        tree: Arrays whose leading axis is a multiple of the number of devices.
        mesh: From `mesh`, or None.

    Examples:
        >>> shard_batch(jax.numpy.arange(4.0), mesh(jax.devices()[:1])).sharding.spec == PartitionSpec("batch")
        True
    """
    if mesh is None:
        return tree
    return jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec(AXIS)))


def on_parts(fn: Callable[..., PyTree], mesh: Mesh | None, *, num_whole: int = 0) -> Callable[..., PyTree]:
    """The function run by every device by itself, on its part of the arguments; as it is if mesh is None.

    Args:
        fn: Function of arrays whose leading axis is a multiple of the number of devices, to such arrays. Arrays that it
            closes over are whole on every device; they must not have been put on the mesh.
        mesh: From `mesh`, or None.
        num_whole: How many of the first arguments are whole on every device too.

    Returns:
        The function, for use inside `jit`: results of the devices follow one another along the leading axis.

    Examples:
        >>> on_parts(lambda x: x.sum(keepdims=True), mesh(jax.devices()[:1]))(jax.numpy.arange(3.0))
        Array([3.], dtype=float32)
    """
    if mesh is None:
        return fn
    whole, spread = PartitionSpec(), PartitionSpec(AXIS)

    def in_parts(*args: PyTree) -> PyTree:
        specs = tuple(whole if index < num_whole else spread for index in range(len(args)))
        return jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=spread, check_vma=False)(*args)

    return in_parts


def gathered(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Inside `jit`, arrays that are spread over the mesh, whole in every process; as they are if mesh is None.

    Examples:
        >>> one, x = mesh(jax.devices()[:1]), jax.numpy.arange(3.0)
        >>> whole = jax.jit(lambda x: gathered(shard_batch(x, one), one))(x)
        >>> gathered(x, None) is x, whole.sharding.is_fully_replicated
        (True, True)
    """
    return tree if mesh is None else jax.lax.with_sharding_constraint(tree, NamedSharding(mesh, PartitionSpec()))


def shared_out(fn: Callable[..., PyTree], mesh: Mesh | None) -> Callable[..., PyTree]:
    """`on_parts` for any number of examples, filled up with repetitions, with results whole in every process.

    Examples:
        >>> shared_out(lambda x: 2 * x, mesh(jax.devices()[:1]))(jax.numpy.arange(3.0))
        Array([0., 2., 4.], dtype=float32)
    """
    if mesh is None:
        return fn

    def shared(*args: PyTree) -> PyTree:
        count = len(jax.tree.leaves(args)[0])
        rows = np.minimum(np.arange(count + -count % mesh.size), count - 1)
        filled = jax.tree.map(lambda leaf: leaf[rows], args)
        return jax.tree.map(lambda leaf: leaf[:count], gathered(on_parts(fn, mesh)(*filled), mesh))

    return shared


def join(coordinator: str = "", process: int | None = None, num_processes: int | None = None) -> bool:
    """Makes this process one of several that run one program; to be called before JAX computes anything.

    Without arguments it joins those that Slurm (`srun`), Open MPI (`mpirun`) or a TPU pod started beside this one, if
    there are several. A process that dies ends the others within a minute.

    Args:
        coordinator: `host:port` of the first process.
        process: Which one this is, from 0.
        num_processes: How many there are.

    Returns:
        Whether this process is one of several.

    Raises:
        RuntimeError: If the others can't be reached.

    Examples:
        >>> join()
        False
    """
    if not coordinator and not _were_started_together(os.environ):
        return False
    jax.distributed.initialize(
        coordinator or None,
        num_processes,
        process,
        heartbeat_timeout_seconds=_SILENCE,
        shutdown_timeout_seconds=_SILENCE,
    )
    return jax.process_count() > 1


def _were_started_together(environment: Mapping[str, str]) -> bool:
    counts = [environment.get(name, "1") for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")]
    return any(count not in ("", "1") for count in counts) or "," in environment.get("TPU_WORKER_HOSTNAMES", "")


def is_one_of_several() -> bool:
    """Whether other processes run the same program together with this one.

    Examples:
        >>> is_one_of_several()
        False
    """
    return jax.distributed.is_initialized() and jax.process_count() > 1


def is_main_process() -> bool:
    """Whether this process is the one that writes records.

    Examples:
        >>> is_main_process()
        True
    """
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def largest(number: int) -> int:
    """The largest of a number over all processes, every one of which has to ask.

    Examples:
        >>> largest(15)  # of one process
        15
    """
    return int(np.max(multihost_utils.process_allgather(np.int32(number)))) if is_one_of_several() else number
