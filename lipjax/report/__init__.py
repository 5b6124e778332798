"""Figures and tables, made from the results that experiments write into their run directories."""

from lipjax.report.figures import alpha_curves as alpha_curves
from lipjax.report.figures import corruption_accuracies as corruption_accuracies
from lipjax.report.figures import distributions as distributions
from lipjax.report.figures import image_pairs as image_pairs
from lipjax.report.figures import save as save
from lipjax.report.fits import one_dimensional_fits as one_dimensional_fits
from lipjax.report.tables import text_table as text_table
from lipjax.report.tables import write_csv as write_csv
