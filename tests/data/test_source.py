import pytest
import torch

from effdl.data.source import Images, Source, check_source
from effdl.utils.errors import UserError

PIXELS = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
LABELS = torch.arange(6) % 3


def source(images=PIXELS, labels=LABELS, test=(PIXELS, LABELS), val=None, unlabelled=None):
    more = {"val": val and Images(*val), "unlabelled": unlabelled and Images(*unlabelled)}
    return Source(Images(images, labels), Images(*test), ("a", "b", "c"), **more)


def test_a_source_as_it_should_be():
    check_source(source(), "mine")
    check_source(source(val=(PIXELS, LABELS)), "mine")
    check_source(source(unlabelled=(PIXELS, LABELS * 0 - 1)), "mine")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: (PIXELS, LABELS), r"it gives a tuple \(allowed: effdl\.Source\)"),
        (lambda: source(PIXELS / 255), r"its train images are float32 \(6, 3, 8, 8\) \(allowed: uint8, 0 to 255"),
        (lambda: source(PIXELS.int()), "its train images are int32"),
        (lambda: source(PIXELS[:, 0]), r"its train images are uint8 \(6, 8, 8\)"),
        (lambda: source(PIXELS.permute(0, 2, 3, 1)), r"its train images are uint8 \(6, 8, 8, 3\)"),
        (lambda: source(test=(PIXELS[..., :5], LABELS)), r"its test images are uint8 \(6, 3, 8, 5\)"),
        (lambda: source(labels=LABELS.float()), r"its train labels are float32 \(6,\) \(allowed: int64"),
        (lambda: source(labels=LABELS + 1), r"its train labels are 1 to 3 \(allowed: 0 to 2, its classes\)"),
        (lambda: source(PIXELS[:0], LABELS[:0]), "it has 0 training and 6 test images"),
        (lambda: source(PIXELS[:, :1]), "training images are 1x8x8 and test images 3x8x8"),
        (lambda: source(val=(PIXELS[..., :5], LABELS)), r"its validation images are uint8 \(6, 3, 8, 5\)"),
        (lambda: source(val=(PIXELS, LABELS + 1)), "its validation labels are 1 to 3"),
        (lambda: source(val=(PIXELS[:0], LABELS[:0])), "it has 0 validation images"),
        (lambda: source(unlabelled=(PIXELS, LABELS)), r"its unlabelled images have the label 0 \(allowed: -1\)"),
        (lambda: source(unlabelled=(PIXELS.int(), LABELS * 0 - 1)), "its unlabelled images are int32"),
    ],
)
def test_what_is_no_source_is_named(made, message):
    with pytest.raises(UserError, match=f"^dataset=mine: {message}"):
        check_source(made(), "mine")
