"""What a model knows: how an image becomes its input, and which class each of its logits stands for."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from effdl.config.annotations import conforms, describe
from effdl.config.types import Positive
from effdl.data.pixels import Ranges
from effdl.utils.errors import UserError

_Number = Annotated[float, Field(allow_inf_nan=False)]
_DESCRIPTION = {  # of `Inputs.described`
    "classes": list[str],
    "mean": list[_Number],
    "std": list[Positive],
    "units": Literal["0..255"],
    "resize": Literal["bilinear"],
    "centre": Annotated[float, Field(gt=0, le=1)],
    "upright": bool,
    "ranges": dict[str, Annotated[list[_Number], Field(min_length=2, max_length=2)]],
}


@dataclass(frozen=True)
class Inputs:
    """The images and classes that a model was trained on.

    Args:
        classes: their names, in the order of the logits.
        channels: of an image; 1 is grey, 3 is RGB.
        image_size: height and width in pixels.
        mean, std: per channel; a model is given ``(pixels - mean) / std`` of pixels from 0 to 255.
        centre: an image of another size is reduced to its centre square, whose side is `centre` times the shorter side
            of the image, and that is resized as Pillow does it (bilinear, antialiased).
        upright: whether it is turned upright first, as its EXIF data say.
        ranges: what becomes 0 and 255 of pixels of more than 8 bits (see `effdl.data.pixels`).
    """

    classes: tuple[str, ...]
    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    centre: float = 1.0
    upright: bool = False
    ranges: Ranges = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of an image."""
        return self.channels, self.image_size, self.image_size

    def described(self) -> dict[str, Any]:
        """What a stored model says of them besides the number of channels and pixels, as JSON."""
        return {
            "classes": list(self.classes),
            "mean": list(self.mean),
            "std": list(self.std),
            "units": "0..255",
            "resize": "bilinear",
            "centre": self.centre,
            "upright": self.upright,
            **({"ranges": {kind: list(ends) for kind, ends in self.ranges.items()}} if self.ranges else {}),
        }

    def require_classes(self, classes: tuple[str, ...], what: str) -> None:
        """Check that these are the model's classes, in any order.

        Raises:
            UserError: it has others, or two of one name that cannot be told apart; the message begins with `what`.
        """
        if classes == self.classes:
            return
        if len(classes) != len(self.classes):
            raise UserError(f"{what} is for {len(self.classes)} classes, here are {len(classes)}")
        if lost := sorted(set(self.classes) - set(classes)):
            new = sorted(set(classes) - set(self.classes))
            raise UserError(f"{what} is for other classes: {_listed(lost)} there, {_listed(new)} here")
        if len(set(classes)) < len(classes):
            raise UserError(f"{what} has its classes in another order, and two of them have one name")

    def order_of(self, classes: tuple[str, ...]) -> list[int]:
        """For each of these classes, which are the model's own, the number of its logit."""
        return [self.classes.index(name) for name in classes]


def inputs_of(description: dict[str, Any]) -> Inputs | None:
    """What a stored model's description says of its images and classes; None if it was stored before it did.

    Raises:
        ValueError: that cannot be.
    """
    found = description.get("inputs")
    if found is None:
        return None
    if not isinstance(found, dict):
        raise ValueError("its inputs are no object")
    found = {"upright": False, "ranges": {}, **found}
    for key, annotation in _DESCRIPTION.items():
        if not conforms(found.get(key), annotation):
            raise ValueError(f"its inputs.{key} is not {describe(annotation)}")
    classes, mean, std = (tuple(found[key]) for key in ("classes", "mean", "std"))
    if len(classes) != description["classes"]:
        raise ValueError(f"its inputs.classes are not {description['classes']} names")
    if not len(mean) == len(std) == description["channels"]:
        raise ValueError(
            f"its inputs.mean or inputs.std is not a number for each of {description['channels']} channels"
        )
    ranges = {kind: tuple(ends) for kind, ends in found["ranges"].items()}
    if any(low >= high for low, high in ranges.values()):
        raise ValueError("its inputs.ranges are not from a lower to a higher number")
    images = description["channels"], description["image_size"]
    return Inputs(classes, *images, mean, std, found["centre"], found["upright"], ranges)


def _listed(names: list[str]) -> str:
    """The first names of a list."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
