"""Types of the values a config may hold; functions named by a ``_target_`` use them in their signatures.

`effdl.config.validation` checks every value against the annotation of the parameter it is meant for, so the signature
is the only place where a key's type and range are written.
"""

from typing import Annotated, Any, Literal

from pydantic import Field


class ReadIf:
    """Marks a key that is read only if another one of its function has a value of an annotation.

    ``rounds: Annotated[Count, ReadIf(schedule=Literal["iterative"])]``. Typed in vain, such a key is refused.

    Args:
        fits: annotations by key, of which one is enough.
    """

    def __init__(self, **fits: Any) -> None:
        self.fits = fits


Bits = Annotated[int, Field(ge=1, le=8)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Natural = Annotated[int, Field(ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what generators take
Layers = Annotated[int, Field(ge=1, le=1000)]  # each costs time, however narrow it is
Trainable = (
    Annotated[
        str,
        Field(
            pattern=r"^([^:]+|last:0*[1-9][0-9]{0,3})$",
            description="all, head, norm, last:K with K >= 1, or a pattern of the names of layers or parameters",
        ),
    ]
    | Annotated[int, Field(ge=0, description="the number of a layer")]
)
Width = Annotated[float, Field(ge=0.001, le=1000)]  # times the channels of a published network
Pixels = Annotated[int, Field(ge=1, le=4096)]  # the side of an image
Border = Annotated[int, Field(ge=0, le=1024)]  # pixels around an image
Workers = Annotated[int, Field(ge=0, le=256)]  # threads or processes
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Pattern = Annotated[str, Field(pattern=r"^\d+:\d+$", description="N:M, such as 2:4")]  # N weights kept of every M
SpeedUp = Annotated[float, Field(gt=1, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, lt=1)]  # a part that is neither none nor all
UnitInterval = Annotated[float, Field(ge=0, le=1)]
_Unit = Annotated[list[UnitInterval], Field(min_length=1)]
Normalization = (  # of images for given weights
    Literal["imagenet", "half"]
    | Annotated[list[_Unit], Field(min_length=2, max_length=2, description="[MEAN,STD], lists of numbers from 0 to 1")]
)
