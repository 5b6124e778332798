"""The checker of annotations in tests: every annotated call into lipjax has its types and array shapes checked.

It is asked for by `pytest --jaxtyping-packages=lipjax,typechecking.checked`, as in the second run of CI: it takes time.
"""

from collections.abc import Callable

from beartype import BeartypeConf, beartype

# Whole numbers are good wherever a float is asked for, as for every other type checker (PEP 484).
_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function: Callable) -> Callable:
    """The function with its annotations checked, if it has a name to call it by.

    A function within another one is made anew in each call, and so would be its checks: tens of thousands of times.
    """
    return function if "<locals>" in function.__qualname__ else _checked(function)
