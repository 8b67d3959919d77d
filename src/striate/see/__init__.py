"""Ways of looking into a network, one a file. Nothing that is looked at changes.

Each way takes a module, images as the network takes them, float32 (N, D, H, W), and gives tensors;
`gallery` makes pictures of them.
"""

from striate.see.backward import deconvnet, guided_backpropagation
from striate.see.codes import averaged, codes, flat_map, neighbours
from striate.see.dream import dreamed
from striate.see.fields import Box, Fields
from striate.see.filters import filters
from striate.see.gradcam import grad_cam
from striate.see.gradients import gradient, saliency
from striate.see.integrated import integrated_gradients
from striate.see.inversion import inverted
from striate.see.maps import maps
from striate.see.neuron import Neuron, neuron
from striate.see.occlusion import occlusion
from striate.see.patches import Patch, top_patches
from striate.see.preferred import preferred
from striate.see.sanity import likeness, randomised
from striate.see.style import styled

__all__ = [
    "Box",
    "Fields",
    "Neuron",
    "Patch",
    "averaged",
    "codes",
    "deconvnet",
    "dreamed",
    "filters",
    "flat_map",
    "grad_cam",
    "gradient",
    "guided_backpropagation",
    "integrated_gradients",
    "inverted",
    "likeness",
    "maps",
    "neighbours",
    "neuron",
    "occlusion",
    "preferred",
    "randomised",
    "saliency",
    "styled",
    "top_patches",
]
