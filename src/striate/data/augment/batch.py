"""A batch as the network takes it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Images ready for the network, and what is right for them.

    Attributes:
        images: (n, depth, height, width), normalised; float32 unless bfloat16 was asked for.
        labels: int64 (n,).
        others, share: of mixed images, the label of what was mixed in, int64 (n,), and the share
            of the image's own label, float32 (n,). None where nothing is mixed.
    """

    images: Tensor
    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None

    def parts(self, count: int) -> list[Batch]:
        """The batch in so many parts, equal but for one image; in fewer if it has fewer images."""
        count = min(count, len(self.labels))
        images, labels = self.images.tensor_split(count), self.labels.tensor_split(count)
        if self.others is None or self.share is None:
            return list(map(Batch, images, labels))
        others, share = self.others.tensor_split(count), self.share.tensor_split(count)
        return list(map(Batch, images, labels, others, share))
