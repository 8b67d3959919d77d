"""How good networks are on images: exact counts, nothing averaged over batches.

    a model, images ──score──► Score: sums alone, for training; shared out among processes
    models, images ──predict──► Predictions ──summarise──► Summary: errors, confusion, calibration

Of equal scores or probabilities the class with the lower number comes first, throughout.
"""

from striate.evaluate.measures import Rate, Summary, summarise
from striate.evaluate.predictions import Predictions, average, predict
from striate.evaluate.scores import BATCH, Prepare, ScoresNotFinite, score, shard
from striate.evaluate.views import VIEWS

__all__ = [
    "BATCH",
    "VIEWS",
    "Predictions",
    "Prepare",
    "Rate",
    "ScoresNotFinite",
    "Summary",
    "average",
    "predict",
    "score",
    "shard",
    "summarise",
]
