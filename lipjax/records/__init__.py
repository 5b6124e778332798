"""Run directories: what a run was asked for, how it went, where it stood, what came out.

    config.json      the settings, written once; the same directory with other settings is refused
    metrics.jsonl    one JSON object per line
    checkpoints/     the last good states, by orbax
    results.json     what came out, written last

Every file is whole at any moment, or, for the line being appended, recognised as torn. Killing a run therefore costs
the steps since its last checkpoint, and nothing else.
"""

from lipjax.records.environment import environment as environment
from lipjax.records.files import read_json as read_json
from lipjax.records.files import read_metrics as read_metrics
from lipjax.records.files import to_json as to_json
from lipjax.records.files import write_json as write_json
from lipjax.records.files import write_text as write_text
from lipjax.records.journal import Journal as Journal
from lipjax.records.run import Run as Run
from lipjax.records.run import RunRefused as RunRefused
from lipjax.records.run import load_state as load_state
from lipjax.records.run import open_run as open_run
