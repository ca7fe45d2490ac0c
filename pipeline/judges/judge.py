"""What a judge is."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

SAMPLE_RATE = 16000  # Hz, of all audio here

# Takes the reference and the decoded speech, float32 [samples] each, full scale at 1; gives a value for every measure.
Verdict = Callable[[np.ndarray, np.ndarray], dict[str, float]]


class JudgeError(ValueError):
    """There is no such judge, or it is not installed; the message says which there are, or what to install."""


class Judge(NamedTuple):
    name: str
    measures: dict[str, str]  # names of the values in metrics files, and their titles in tables
    needs_reference: bool  # otherwise it hears the decoded speech alone
    modules: tuple[str, ...]  # what it imports
    install: str  # the command that installs these
    load: Callable[[], Verdict]  # takes seconds: imports the modules and reads the weights

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that are not installed."""
        return tuple(module for module in self.modules if find_spec(module) is None)
