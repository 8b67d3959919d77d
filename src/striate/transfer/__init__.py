"""Starting from weights that are known: another run's, a file's, published ones."""

from striate.transfer.begin import begin_with, fitted, network_of, preparation_for
from striate.transfer.keep import Kept, keep
from striate.transfer.known import Known, known

__all__ = [
    "Kept",
    "Known",
    "begin_with",
    "fitted",
    "keep",
    "known",
    "network_of",
    "preparation_for",
]
