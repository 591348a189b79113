"""Bridge to the classification models of torchvision."""

from torch import nn

from effdl.models.names import require_known
from effdl.models.surgery import set_channels, set_classes
from effdl.utils.errors import UserError


def torchvision(
    channels: int, image_size: int, classes: int, pretrained: bool = False, *, name: str = "resnet18"
) -> nn.Module:
    """The model ``name`` of torchvision.models, for other channels and classes; ``pretrained`` on ImageNet or random.

    The first convolution is adapted to ``channels``, and a pretrained last layer is replaced if ``classes`` is not
    its 1,000. Auxiliary classifiers are removed. Raises UserError for an unknown name and for a vision transformer
    that cannot take ``image_size``.
    """
    from torchvision import models

    require_known(name, models.list_models(module=models), "torchvision")
    options: dict = {"weights": "DEFAULT"} if pretrained else {"num_classes": classes}
    if name.startswith("vit_"):
        _check_vit_size(name, image_size, pretrained)
        options["image_size"] = image_size
    if name in ("googlenet", "inception_v3") and not pretrained:
        options["init_weights"] = True
    model = models.get_model(name, **options)
    _remove_auxiliary_classifiers(model)
    set_channels(model, channels)
    set_classes(model, classes)
    return model


def trained_on(name: str) -> tuple[list[float], list[float], int]:
    """Mean and deviation per channel, of pixels from 0 to 255, and the number of classes of the pretrained weights."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    prepare = weights.transforms()
    mean, std = ([255 * value for value in values] for values in (prepare.mean, prepare.std))
    return mean, std, len(weights.meta["categories"])


def _check_vit_size(name: str, image_size: int, pretrained: bool) -> None:
    """A torchvision ViT is made for one image size: a multiple of its patch or, pretrained, that of its weights."""
    from torchvision.models import get_model_weights

    patch = int(name.rpartition("_")[2])
    trained = get_model_weights(name).DEFAULT.meta["min_size"][0]
    if pretrained and image_size != trained:
        raise UserError(f"model.name={name}: pretrained, it takes images of {trained}x{trained}, not {image_size}")
    if image_size % patch:
        raise UserError(f"model.name={name}: its patch size, {patch}, does not divide the image size, {image_size}")


def _remove_auxiliary_classifiers(model: nn.Module) -> None:
    """GoogLeNet and Inception v3: leave only the logits, and no normalisation inside the model."""
    if hasattr(model, "aux_logits"):
        model.aux_logits = model.transform_input = False
        for name in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, name):
                setattr(model, name, None)
