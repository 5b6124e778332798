"""A function as a flat list of steps: what the bounds interpret."""

from lipjax.bounds.program.rewriting import Idiom as Idiom
from lipjax.bounds.program.rewriting import in_float64 as in_float64
from lipjax.bounds.program.rewriting import is_constant as is_constant
from lipjax.bounds.program.rewriting import is_not_negative as is_not_negative
from lipjax.bounds.program.rewriting import is_traced as is_traced
from lipjax.bounds.program.rewriting import rewrite as rewrite
from lipjax.bounds.program.steps import Builder as Builder
from lipjax.bounds.program.steps import Operand as Operand
from lipjax.bounds.program.steps import Program as Program
from lipjax.bounds.program.steps import Step as Step
from lipjax.bounds.program.steps import Wire as Wire
from lipjax.bounds.program.tracing import LONGEST_LOOP as LONGEST_LOOP
from lipjax.bounds.program.tracing import confined as confined
from lipjax.bounds.program.tracing import trace as trace
from lipjax.bounds.program.tracing import unmasked as unmasked
