"""Commands that are killed at random moments end as undisturbed ones do; LIPJAX_KILLS=20 kills each one that often.

The kills of training, counting and sweeps at chosen moments are in their own tests, and always run.
"""

import os
import random

import pytest

from benchmarks import kills

NUM_KILLS = int(os.environ.get("LIPJAX_KILLS", "0"))
ALWAYS = ("corrupt",)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in kills.CASES if not name.endswith("48")])
def test_a_command_that_is_killed_ends_as_an_undisturbed_one(name: str) -> None:
    if not NUM_KILLS and name not in ALWAYS:
        pytest.skip("takes minutes: LIPJAX_KILLS=20 runs it")
    ends, differing = kills.killed(kills.CASES[name], max(NUM_KILLS, 1), random.Random(0))
    assert ends > 0
    assert differing == 0
