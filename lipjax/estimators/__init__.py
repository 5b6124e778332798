"""Estimators: how steep is a function near a point, at least? Each answer comes with the point that shows it.

`slope_curve` measures many points at many radii, `curve` does so with any estimator, and `talk_curve` as the talk's
authors did. `ascent_slope`, `growing_slope`, `sampled_slope`, `talk_slope`, `pairwise_slope`, `jacobian_norm` and
`clever` are estimators: values that are called as `(key, f, x) -> Estimate` on one point.
"""

from lipjax.estimators.clever import Clever as Clever
from lipjax.estimators.clever import clever as clever
from lipjax.estimators.curve import curve as curve
from lipjax.estimators.curve import slope_curve as slope_curve
from lipjax.estimators.draws import in_ball as in_ball
from lipjax.estimators.draws import on_sphere as on_sphere
from lipjax.estimators.estimator import LocalEstimator as LocalEstimator
from lipjax.estimators.jacobian import jacobian_norm as jacobian_norm
from lipjax.estimators.outputs import logit_gaps as logit_gaps
from lipjax.estimators.outputs import probabilities as probabilities
from lipjax.estimators.pairwise import pairwise_slope as pairwise_slope
from lipjax.estimators.record import Curve as Curve
from lipjax.estimators.slope import ascent_slope as ascent_slope
from lipjax.estimators.slope import growing_slope as growing_slope
from lipjax.estimators.slope import sampled_slope as sampled_slope
from lipjax.estimators.talk import TALK_NUM_IMAGES as TALK_NUM_IMAGES
from lipjax.estimators.talk import TALK_RADII as TALK_RADII
from lipjax.estimators.talk import talk_curve as talk_curve
from lipjax.estimators.talk import talk_slope as talk_slope
