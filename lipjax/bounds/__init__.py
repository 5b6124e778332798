"""Upper bounds: Lipschitz constants that no pair of inputs exceeds, and the layers that they come from.

    local, everywhere, curves, softmax   what is asked for: on a ball, on the whole space, over points and radii
    audit                                the constant of every layer
    refute                               whether a claimed constant is false
    program/                             a function as steps; idioms, and the loop that rewrites them
    rules/                               kinds of layers: one file is one kind with all that is known of it
    forward, backward                    the two passes through a program; `carried` says what goes along
    linear, expansion, chords            tighter values and tighter derivatives, by passes backwards
    semidefinite, multipliers            tighter still: changes of all units weighed against each other
    activations, matrices, rounding      functions of one entry; norms of matrices; arithmetic that is rounded outwards

A new kind of layer is one file in `rules` and one line of its `KINDS`.
"""

from lipjax.bounds.audit import Audit as Audit
from lipjax.bounds.audit import Layer as Layer
from lipjax.bounds.audit import audit as audit
from lipjax.bounds.curves import METHODS as METHODS
from lipjax.bounds.curves import BracketError as BracketError
from lipjax.bounds.curves import LocalBounds as LocalBounds
from lipjax.bounds.curves import UpperCurve as UpperCurve
from lipjax.bounds.curves import check_bracket as check_bracket
from lipjax.bounds.curves import upper_curve as upper_curve
from lipjax.bounds.everywhere import gap_bound as gap_bound
from lipjax.bounds.everywhere import global_bound as global_bound
from lipjax.bounds.local import local_bound as local_bound
from lipjax.bounds.refute import Refutation as Refutation
from lipjax.bounds.refute import refute as refute
from lipjax.bounds.softmax import softmax_bound as softmax_bound
from lipjax.operators import conv_norm as conv_norm
from lipjax.operators import dense_norm as dense_norm
