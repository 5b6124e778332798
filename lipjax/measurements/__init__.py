"""Measurements: what is said of a trained network, per example, as arrays with named axes.

`measure` runs any of them on any number of models and keeps the answers; `summary` reduces answers to accuracies, worst
cases and quantiles, and is the only place that does; `table` makes pandas of its figures, a row per network.
"""

from lipjax.measurements.alpha import ESCALATING as ESCALATING
from lipjax.measurements.alpha import OUTPUTS as OUTPUTS
from lipjax.measurements.alpha import RADII as RADII
from lipjax.measurements.alpha import alpha as alpha
from lipjax.measurements.attacked import attacked as attacked
from lipjax.measurements.audit import audit as audit
from lipjax.measurements.audit import audit_of as audit_of
from lipjax.measurements.certified import certified as certified
from lipjax.measurements.clean import clean as clean
from lipjax.measurements.confidence import confidence as confidence
from lipjax.measurements.corrupted import Images as Images
from lipjax.measurements.corrupted import corrupted as corrupted
from lipjax.measurements.measure import Parts as Parts
from lipjax.measurements.measure import Progress as Progress
from lipjax.measurements.measure import Told as Told
from lipjax.measurements.measure import is_measured as is_measured
from lipjax.measurements.measure import measure as measure
from lipjax.measurements.measure import measure_one as measure_one
from lipjax.measurements.measurement import Measurement as Measurement
from lipjax.measurements.measurement import as_measurement as as_measurement
from lipjax.measurements.measurement import distinct as distinct
from lipjax.measurements.smoothed import smoothed as smoothed
from lipjax.measurements.summary import summary as summary
from lipjax.measurements.table import table as table
