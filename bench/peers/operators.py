"""Import this to import torchvision beside a build of torch that its compiled part does not fit.

Its import stops at the operators that it describes and cannot find. Nothing that is measured here
calls them: they are given names and no more.
"""

from __future__ import annotations

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    library = torch.library.Library("torchvision", "FRAGMENT")  # names last as long as it does
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
