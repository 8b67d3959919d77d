"""Out of the workbench: predictions for image files, artefacts, model cards."""

from __future__ import annotations

from striate.ship.predictor import Predictor, open_predictor

__all__ = ["Predictor", "open_predictor"]
