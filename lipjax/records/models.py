"""A trained model on disk: its arrays, and the record from which its network is made again. Nothing is unpickled.

model.npz     parameters, state, and the parameters before training
model.json    the network, the shape of an input, the checksum of model.npz; written last
"""

import functools
import os
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lipjax import values
from lipjax.records.files import Json, digest_of_arrays, digest_of_file, read_json, replacing, write_json
from lipjax.types import Model


def save_model(run_dir: str | os.PathLike, model: Model, input_shape: tuple[int, ...]) -> None:
    """Writes a trained model so that `load` finds all of it or none.

    Args:
        run_dir: The directory of the training run.
        model: What was trained.
        input_shape: Shape of one input, without the batch axis.

    Raises:
        TypeError: If the network has no name in a module, so that it could not be made again.

    Examples:
        >>> import tempfile
        >>> from lipjax import networks
        >>> network = networks.mlp(3, widths=())
        >>> model = Model(network, network.init(jax.random.key(0), (2,)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, model, (2,))
        ...     sorted(os.listdir(folder))
        ...     print(*np.load(f"{folder}/model.npz"))
        ['model.json', 'model.npz']
        ['variables'].params['logits']['bias'] ['variables'].params['logits']['kernel']
    """
    path = Path(run_dir) / "model.npz"
    network = values.to_json(model.network)
    with replacing(path) as partial:
        np.savez(partial, **_arrays(model))  # type: ignore[arg-type]
        checksum = digest_of_file(partial)
    record = {
        "network": network,
        "input_shape": list(input_shape),
        "variables": digest_of_arrays(model.variables),
        "sha256": checksum,
    }
    write_json(path.with_suffix(".json"), record)


def load(run_dir: str | os.PathLike) -> Model:
    """The trained model of a run directory, without its dataset.

    Args:
        run_dir: The directory of a training run.

    Returns:
        The model; `model.single` is a function of one input, in pixels in [0, 1].

    Raises:
        FileNotFoundError: If there is no trained model: training was not finished, say.
        ValueError: If its files are damaged, or its network is of a module that was not imported.

    Examples:
        >>> import tempfile
        >>> from lipjax import networks
        >>> network = networks.mlp(3, widths=(4,))
        >>> model = Model(network, network.init(jax.random.key(0), (2,)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, model, (2,))
        ...     load(folder).single(jax.numpy.zeros(2)).shape
        (3,)
    """
    path = Path(run_dir) / "model.npz"
    if not path.exists() or not path.with_suffix(".json").exists():
        raise FileNotFoundError(f"{run_dir} has no trained model: is it a run directory whose training was finished?")
    record = read_json(path.with_suffix(".json"))
    if not isinstance(record, dict) or record.get("sha256") != digest_of_file(path):
        raise ValueError(f"{path} has changed since it was written")
    try:
        network, shape = values.from_json(record["network"]), tuple(record["input_shape"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path.with_suffix('.json')} is damaged, or of another version: {error}") from error
    variables = jax.eval_shape(lambda: network.init(jax.random.key(0), shape))
    with np.load(path, allow_pickle=False) as arrays:
        start = variables.params if any(name.startswith("['start']") for name in arrays) else None
        return Model(network, **_filled({"variables": variables, "start": start}, arrays))


class Saved:
    """A trained model of a run directory that is read when it is needed: what it is, its record says.

    Args:
        run_dir: The directory of a training run.

    Examples:
        >>> import tempfile
        >>> from lipjax import networks
        >>> network = networks.mlp(3, widths=())
        >>> model = Model(network, network.init(jax.random.key(0), (2,)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_model(folder, model, (2,))
        ...     saved = Saved(folder)
        ...     saved.identity["network"]["type"], saved.model.network == network
        ('lipjax.networks.cnn:mlp', True)
    """

    def __init__(self, run_dir: str | os.PathLike):
        self.run_dir = run_dir

    @functools.cached_property
    def identity(self) -> Json:
        """The network and the digest of its variables."""
        record = read_json(Path(self.run_dir) / "model.json")
        if not isinstance(record, dict) or not {"network", "variables"} <= set(record):
            raise ValueError(f"{self.run_dir} has a model.json that is damaged, or of another version")
        return {"network": record["network"], "variables": record["variables"]}

    @functools.cached_property
    def model(self) -> Model:
        """The model; see `load`."""
        return load(self.run_dir)


def _arrays(model: Model) -> dict[str, np.ndarray]:
    leaves = jax.tree_util.tree_leaves_with_path({"variables": model.variables, "start": model.start})
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def _filled(template: Any, arrays: Any) -> Any:
    def leaf(path: Any, blank: Any) -> jax.Array:
        name = jax.tree_util.keystr(path)
        if name not in arrays or arrays[name].shape != blank.shape:
            raise ValueError(f"the model's file has no array {name} of shape {blank.shape}: it is of another version")
        return jax.numpy.asarray(arrays[name])

    return jax.tree_util.tree_map_with_path(leaf, template)
