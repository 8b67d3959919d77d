"""A first convolution whose filters whiten patches of the images, and are not trained.

Jordan 2024, arXiv:2404.00498, section 3.2, after Page 2019: the outputs of the filters are
uncorrelated and of equal variance over the patches, and each filter stands there with its negative.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from striate.errors import RunError
from striate.recipes import Recipe

# Images that are enough to measure patches on.
IMAGES = 5000
EPSILON = 5e-4
AT_ONCE = 500


def first_convolution(model: nn.Module) -> nn.Conv2d:
    """The convolution that whitens.

    Raises:
        RunError: the model has none.
    """
    for each in model.modules():
        if isinstance(each, nn.Conv2d):
            return each
    raise RunError("recipe: whiten needs a network that begins with a convolution")


def whiten(convolution: nn.Conv2d, images: Tensor, epsilon: float = EPSILON) -> None:
    """Give a convolution its whitening filters, and freeze them; its bias is trained on.

    With fewer filters than twice the values of a patch, the directions of most variance are kept.

    Args:
        convolution: changed in place.
        images: as the network takes them, (N, D, H, W); a few thousand are enough.
        epsilon: added to each direction's variance, so that noise is not blown up.

    Raises:
        RunError: the convolution has more filters than there are directions with their negatives,
            or takes its input in groups.
    """
    weight = convolution.weight
    filters, values = len(weight), weight[0].numel()
    if convolution.groups > 1:
        raise RunError("recipe: whiten needs a first convolution without groups")
    if filters > 2 * values:
        size = "x".join(map(str, (*weight.shape[2:], weight.shape[1])))
        raise RunError(
            f"recipe: whiten cannot fill {filters} filters: a patch of {size} has {values} "
            f"directions, which with their negatives make {2 * values}: use at most so many filters"
        )
    variances, directions = torch.linalg.eigh(_covariance(convolution, images))
    scaled = (directions / (variances.clamp(min=0) + epsilon).sqrt()).T.flip(0)
    count = (filters + 1) // 2
    made = torch.cat((scaled[:count], -scaled[: filters - count]))
    with torch.no_grad():
        weight.copy_(made.view(weight.shape))
    weight.requires_grad_(False)


def let_bias_learn(model: nn.Module, recipe: Recipe, epoch: int) -> bool:
    """Train the bias of a convolution that whitens for as many epochs as the recipe says.

    What lies before the second layer needs no gradient from then on.

    Returns:
        Whether that is another answer than before.
    """
    if not recipe.whiten or recipe.whiten_bias_epochs is None:
        return False
    bias, learns = first_convolution(model).bias, epoch <= recipe.whiten_bias_epochs
    if bias is None or bias.requires_grad == learns:
        return False
    bias.requires_grad_(learns)
    bias.grad = None
    return True


def _covariance(convolution: nn.Conv2d, images: Tensor) -> Tensor:
    """Of the values of a patch, over all patches that lie within the images."""
    values = convolution.weight[0].numel()
    count, total = 0, torch.zeros(values, dtype=torch.float64)
    products = torch.zeros(values, values, dtype=torch.float64)
    reach = [
        d * (k - 1) for k, d in zip(convolution.kernel_size, convolution.dilation, strict=True)
    ]
    if not len(images) or images.shape[2] <= reach[0] or images.shape[3] <= reach[1]:
        raise RunError("recipe: whiten needs images as large as the first convolution's filters")
    for some in torch.split(images, AT_ONCE):
        columns = unfold(some.detach().float(), convolution.kernel_size, convolution.dilation)
        patches = columns.transpose(0, 1).flatten(1).cpu().double()
        count, total = count + patches.shape[1], total + patches.sum(dim=1)
        products += patches @ patches.T
    mean = total / count
    return products / count - torch.outer(mean, mean)
