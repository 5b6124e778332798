"""Run directories: what a run was asked for, how it went, where it stood, what came out.

    config.json      the settings that decide the run, written once; the same directory with others is refused
    metrics.jsonl    one JSON object per line
    checkpoints/     the last good states, by orbax
    model.npz        the trained model; `load` makes it again
    measurements/    what was measured of it, as labelled arrays; `open` has those of many runs
    results.json     what came out, written last

Every file is whole at any moment, or, for the line being appended, recognised as torn. Killing a run therefore costs
the steps since its last checkpoint, and nothing else.
"""

from lipjax.records.answers import combined as combined
from lipjax.records.answers import joined as joined
from lipjax.records.answers import path_of as path_of
from lipjax.records.answers import recalled as recalled
from lipjax.records.environment import environment as environment
from lipjax.records.files import digest_of_arrays as digest_of_arrays
from lipjax.records.files import digest_of_file as digest_of_file
from lipjax.records.files import digest_of_settings as digest_of_settings
from lipjax.records.files import read_json as read_json
from lipjax.records.files import read_metrics as read_metrics
from lipjax.records.files import replacing as replacing
from lipjax.records.files import set_aside as set_aside
from lipjax.records.files import to_json as to_json
from lipjax.records.files import write_json as write_json
from lipjax.records.files import write_text as write_text
from lipjax.records.journal import Journal as Journal
from lipjax.records.listing import FAILURE as FAILURE
from lipjax.records.listing import Listed as Listed
from lipjax.records.listing import listed as listed
from lipjax.records.models import Saved as Saved
from lipjax.records.models import load as load
from lipjax.records.models import save_model as save_model
from lipjax.records.run import Run as Run
from lipjax.records.run import RunHeld as RunHeld
from lipjax.records.run import RunRefused as RunRefused
from lipjax.records.run import hold as hold
from lipjax.records.run import load_state as load_state
from lipjax.records.run import open_run as open_run
from lipjax.records.store import answers_of as answers_of
from lipjax.records.store import find as find
from lipjax.records.store import index as index
from lipjax.records.store import name_of as name_of
from lipjax.records.store import open as open
