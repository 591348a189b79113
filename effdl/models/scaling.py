"""Sizes inside a network as functions of the width multiplier and the image size."""


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """``channels`` times ``width``, rounded to the nearest ``multiple`` (never to 0, or below 90 %).

    Howard et al. 2017 (MobileNets), section 3.3; the rounding to a multiple is that of Sandler et al.'s reference code.
    """
    exact = channels * width
    rounded = max(multiple, int(exact + multiple / 2) // multiple * multiple)
    return rounded + multiple if rounded < 0.9 * exact else rounded


def padding_5x5(image_size: int) -> int:
    """Padding of the 5x5 convolutions of the MNIST networks: none, as published, from MNIST's 28x28 pixels on.

    Smaller images (8x8 digits) are padded by 2, which keeps the size of the maps, so that only pooling shrinks them.
    """
    return 0 if image_size >= 28 else 2
