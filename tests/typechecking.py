"""The checker of annotations in tests: every annotated call into lipjax has its types and array shapes checked."""

from beartype import BeartypeConf, beartype

# Whole numbers are good wherever a float is asked for, as for every other type checker (PEP 484).
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
