"""Estimators: how steep is a function near a point, at least? Each answer comes with the point that shows it."""

from lipjax.estimators.curve import Curve as Curve
from lipjax.estimators.curve import curve as curve
from lipjax.estimators.curve import slope_curve as slope_curve
from lipjax.estimators.draws import in_ball as in_ball
from lipjax.estimators.draws import on_sphere as on_sphere
from lipjax.estimators.jacobian import jacobian_norm as jacobian_norm
from lipjax.estimators.slope import ascent_slope as ascent_slope
from lipjax.estimators.slope import sampled_slope as sampled_slope
