"""lipjax: local Lipschitz robustness in JAX.

`lipjax.types` is the page to read first. Three questions and where they are answered: is a Lipschitz constraint
compatible with a dataset (`compatibility`), how steep is a network around its training points (`estimators` from
below, `bounds` from above), is it robust (`corruptions`, `attacks`, `evaluation`, `certificates`)? `layers`,
`networks`, `methods` and `systems` say what is trained, `training` trains it, `measurements` say all of it of many
networks at once, and `statistics` whether the second answer predicts the third.
"""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from lipjax import attacks as attacks
from lipjax import augmentation as augmentation
from lipjax import batching as batching
from lipjax import bounds as bounds
from lipjax import certificates as certificates
from lipjax import compatibility as compatibility
from lipjax import corruptions as corruptions
from lipjax import datasets as datasets
from lipjax import estimators as estimators
from lipjax import evaluation as evaluation
from lipjax import layers as layers
from lipjax import loops as loops
from lipjax import losses as losses
from lipjax import measurements as measurements
from lipjax import methods as methods
from lipjax import networks as networks
from lipjax import norms as norms
from lipjax import operators as operators
from lipjax import parallel as parallel
from lipjax import records as records
from lipjax import report as report
from lipjax import statistics as statistics
from lipjax import sweep as sweep
from lipjax import systems as systems
from lipjax import training as training
from lipjax import types as types
from lipjax import values as values
from lipjax.records import load as load

try:
    __version__ = _version("lipjax")
except _PackageNotFoundError:  # run from a folder in which it was not installed
    __version__ = "unknown"
