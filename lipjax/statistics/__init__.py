"""Does a measure predict robustness? Statistics over trained networks: plain arrays, one value per network.

How well do two quantities order the networks: `kendall_tau`, and `smallest_detectable_tau`, what so few networks can
show. Is it more than the design (system, learning rate, width ...), which moves both: `partial_rank` adjusts for it,
`granulated_tau`, `conditional_mutual_information` and `sign_error` compare networks that differ in a setting, and
`increment` asks what the measure adds to a prediction. How sure: `bootstrap` over configurations, and `q_values` over
all that was tried.

A design maps a setting's name to its value in each network: `{"system": ["v", "pgd"], "width": [16, 64]}`. Numbers are
ordered, words are not; a setting that some systems lack is given in words. Everything is checked before any compute:
fewer than two networks, lengths that differ and values that are not finite raise ValueError.
"""

from lipjax.statistics.correlation import KendallTau as KendallTau
from lipjax.statistics.correlation import PartialRank as PartialRank
from lipjax.statistics.correlation import kendall_tau as kendall_tau
from lipjax.statistics.correlation import partial_rank as partial_rank
from lipjax.statistics.correlation import smallest_detectable_tau as smallest_detectable_tau
from lipjax.statistics.environments import SignError as SignError
from lipjax.statistics.environments import coupled_pairs as coupled_pairs
from lipjax.statistics.environments import sign_error as sign_error
from lipjax.statistics.grid import ConditionalMutualInformation as ConditionalMutualInformation
from lipjax.statistics.grid import GranulatedTau as GranulatedTau
from lipjax.statistics.grid import conditional_mutual_information as conditional_mutual_information
from lipjax.statistics.grid import granulated_tau as granulated_tau
from lipjax.statistics.prediction import Increment as Increment
from lipjax.statistics.prediction import increment as increment
from lipjax.statistics.resampling import Interval as Interval
from lipjax.statistics.resampling import bootstrap as bootstrap
from lipjax.statistics.resampling import bootstrap_partial_tau as bootstrap_partial_tau
from lipjax.statistics.resampling import bootstrap_tau as bootstrap_tau
from lipjax.statistics.resampling import q_values as q_values
