"""DINO: assign the other view to the prototypes to which a slowly moving copy of the network assigns this one."""

import warnings
from collections.abc import Callable

from torch import nn

from effdl.config.types import Count, Fraction, Positive
from effdl.data.build import Data
from effdl.models.features import feature_width
from effdl.pretraining.library import from_lightly
from effdl.pretraining.method import Pretext, compares_views, pretraining_method
from effdl.pretraining.self_distillation import SelfDistillation
from effdl.pretraining.view_shape import view_shape


@pretraining_method(compares_views)
def dino(
    model: nn.Module,
    data: Data,
    *,
    views: Callable,
    hidden: Count = 512,
    bottleneck: Count = 128,
    prototypes: Count = 1024,
    momentum: Fraction = 0.99,
    temperature: Positive = 0.1,
    target_temperature: Positive = 0.04,
    center_momentum: Fraction = 0.9,
) -> Pretext:
    """Minimize the cross entropy of the network's assignment with the copy's, which is centered and sharpened.

    Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers", equations 2 and 4. All views are
    of one size here, and the copy sees all of them, as with two global crops.

    Args:
        hidden, bottleneck: units of the head's two hidden layers and of its output, which is normalized.
        prototypes: outputs of the last layer; the paper's 65,536 are for ImageNet.
        momentum: of the copy, at first; published: 0.996.
        temperature, target_temperature: by which the answers of the network and of the copy are divided.
        center_momentum: part of the mean answer of the copy, which is taken from its answers, that a step keeps.
    """
    head, loss = from_lightly("models.modules.heads", "DINOProjectionHead"), from_lightly("loss", "DINOLoss")
    width, shape = feature_width(model), view_shape(views, data.input_shape)

    def new_head() -> nn.Module:
        with warnings.catch_warnings():  # lightly's layer of normalized weights is an older one of PyTorch's
            warnings.simplefilter("ignore", FutureWarning)
            return head(width, hidden, bottleneck, prototypes, batch_norm=True)

    def objective(trunk: nn.Module) -> nn.Module:
        temperatures = {"teacher_temp": target_temperature, "student_temp": temperature}
        minimized = loss(prototypes, **temperatures, center_momentum=center_momentum)
        return SelfDistillation(trunk, shape, new_head, minimized, momentum)

    return Pretext(objective, views)
