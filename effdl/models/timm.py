"""Bridge to the models of timm."""

from torch import nn

from effdl.models.names import require_known
from effdl.utils.errors import UserError


def timm(
    channels: int, image_size: int, classes: int, pretrained: bool = False, *, name: str = "resnet18"
) -> nn.Module:
    """The model ``name`` of timm (a tag of weights may follow: ``resnet18.a1_in1k``), ``pretrained`` or random.

    timm itself adapts the first and last layer, and the image size where the model depends on it. Raises UserError
    if timm is missing, has no such model, or no weights for it.
    """
    try:
        import timm as library
    except ModuleNotFoundError as error:
        raise UserError(f"model=timm: {error}; install it with: pip install 'effdl[timm]'") from error

    require_known(name, library.list_pretrained() if "." in name else library.list_models(), "timm")
    if pretrained and not library.models.is_model_pretrained(name):
        raise UserError(f"model.weights=pretrained: timm has no weights for model.name={name}")
    options = {"pretrained": pretrained, "num_classes": classes, "in_chans": channels}
    try:
        return library.create_model(name, **options, img_size=image_size)
    except TypeError as error:
        if "img_size" not in str(error):  # only models with a fixed image size take this option
            raise
        return library.create_model(name, **options)


def trained_on(name: str) -> tuple[list[float], list[float], int] | None:
    """Mean and deviation per channel, of pixels from 0 to 255, and the number of classes of the pretrained weights.

    None if timm has none.
    """
    import timm as library

    if (known := library.get_pretrained_cfg(name)) is None:
        return None
    mean, std = ([255 * value for value in values] for values in (known.mean, known.std))
    return mean, std, known.num_classes
