"""Upper bounds: Lipschitz constants that no pair of inputs exceeds, and the layers that they come from."""

from lipjax.bounds.audit import Audit as Audit
from lipjax.bounds.audit import Layer as Layer
from lipjax.bounds.audit import audit as audit
from lipjax.bounds.curves import BracketError as BracketError
from lipjax.bounds.curves import UpperCurve as UpperCurve
from lipjax.bounds.curves import check_bracket as check_bracket
from lipjax.bounds.curves import upper_curve as upper_curve
from lipjax.bounds.everywhere import global_bound as global_bound
from lipjax.bounds.local import local_bound as local_bound
from lipjax.bounds.softmax import softmax_bound as softmax_bound
