"""Images: where they come from, how they are split, and how a batch of them reaches the network.

    source ──load──► Splits of Images (bytes) ──prepare──► Preparation: bytes to float32

Nothing here imports torch.
"""

from striate.data.images import Images, Splits, hold_out
from striate.data.order import shuffled
from striate.data.preparation import Preparation, prepare
from striate.data.sources import load

__all__ = ["Images", "Preparation", "Splits", "hold_out", "load", "prepare", "shuffled"]
