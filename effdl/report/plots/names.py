"""Names beside the points of a panel: each in the nearest place where it covers no mark and no other name."""

from collections.abc import Sequence
from itertools import pairwise
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import IdentityTransform

_MARK = 10  # half the side of the square that a mark takes, in pixels
_ASIDE = 14  # the least distance of a name, in pixels
_NEAR = 26  # a name that is farther away has a line to its point
_STEP = (24, 9)  # between the places that are tried
_CLOSE = 5  # pixels between names, marks and the frame
_LETTERS = 40  # in a line of a name
# What a place costs besides its distance, in pixels: for lying on a line; for each tenth of the way to the point that
# leads over a mark or a name, and for each other mark or name that is close.
_ON_LINE, _OVER = 60, 15


def name_points(
    axes: Axes, at: np.ndarray, names: list[str], taken: np.ndarray, lines: Sequence[np.ndarray] = ()
) -> list[str]:
    """Write the names; the layout is final.

    Args:
        at: (N, 2) in data coordinates, where the points are.
        names: one for each; of equal ones the first is written.
        taken: (M, 2) the points that no name may cover.
        lines: (L, 2) each, what names should rather not lie on.

    Returns:
        The names that found no place.
    """
    renderer = axes.figure.canvas.get_renderer()
    pixels = axes.transData.transform
    boxes = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in pixels(taken)]
    boxes += [text.get_window_extent(renderer).extents for text in axes.texts]
    dots = np.concatenate([np.empty((0, 2)), *(_along(pixels(line)) for line in lines)])
    lost = []
    for i, (point, name) in enumerate(zip(pixels(at), names, strict=True)):
        if name in names[:i]:
            continue
        text = axes.text(
            *(0, 0, fill(name, _LETTERS)),
            fontsize=7.5,
            va="bottom",
            transform=IdentityTransform(),
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5},
            zorder=6,
            parse_math=False,
        )
        size = text.get_window_extent(renderer).size
        corner = place(point, size, np.array(boxes), dots, axes.get_window_extent(renderer).extents)
        if corner is None:
            text.remove()
            lost.append(name)
            continue
        text.set_position(corner)
        boxes.append((*corner, *(corner + size)))
        end = np.clip(point, corner, corner + size)
        if np.hypot(*(end - point)) > _NEAR:
            ends = {"xdata": [point[0], end[0]], "ydata": [point[1], end[1]]}
            axes.add_line(Line2D(**ends, color="0.5", linewidth=0.6, transform=IdentityTransform(), zorder=2.5))
    return lost


def _along(line: np.ndarray) -> np.ndarray:
    """Points on a line, (K, 2)."""
    steps = np.linspace(0, 1, 40)[:, None]
    return np.concatenate([line[:1], *(a + steps * (b - a) for a, b in pairwise(line))])


def place(
    point: np.ndarray, size: np.ndarray, boxes: np.ndarray, dots: np.ndarray, inside: np.ndarray
) -> np.ndarray | None:
    """The lower left corner of a name: the nearest free place, rather one that lies on no dot; None if there is none.

    Args:
        point: (2,) what is named.
        size: (2,) of the name.
        boxes: (B, 4) left, bottom, right and top of what must not be covered.
        dots: (D, 2) what should not be covered.
        inside: (4,) where names may be.
    """
    corners = _corners(point, size, inside)
    areas = np.hstack([corners, corners + size])
    free = (areas[:, :2] >= inside[:2] + _CLOSE).all(1) & (areas[:, 2:] <= inside[2:] - _CLOSE).all(1)
    free &= ~_overlaps(areas, boxes).any(1)
    corners, areas = corners[free], areas[free]
    if not len(corners):
        return None
    ends = np.clip(point, areas[:, :2], areas[:, 2:])
    costs = np.maximum(np.hypot(*(ends - point).T), _ASIDE) + _ON_LINE * _holding(areas, dots).any(1)
    way = point + np.linspace(0.1, 0.9, 9)[:, None, None] * (ends - point)
    others = boxes[~_holding(boxes, point[None])[:, 0]]
    costs += _OVER * _overlaps(areas + _CLOSE * np.array([-1, -1, 1, 1]), others).sum(1)
    costs += _OVER * _holding(others, way.reshape(-1, 2)).any(0).reshape(9, -1).sum(0)
    return corners[np.argmin(costs)]


def _corners(point: np.ndarray, size: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The places that are tried, (K, 2): around the point, centred ones first, then everywhere."""
    across = np.array([-0.5, -0.3, -0.7, -0.1, -0.9]) * size[0]
    around = [(x, y) for x in across for y in (_ASIDE, -_ASIDE - size[1])]
    around += [(x, -size[1] / 2) for x in (_ASIDE, -_ASIDE - size[0])]
    around += [(x, y) for x in (8, -8 - size[0]) for y in (8, -8 - size[1])]
    grid = np.meshgrid(np.arange(inside[0], inside[2], _STEP[0]), np.arange(inside[1], inside[3], _STEP[1]))
    return np.concatenate([point + np.array(around), np.stack(grid, -1).reshape(-1, 2)])


def _overlaps(areas: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Which area overlaps which box, (A, B)."""
    return ((areas[:, None, :2] < boxes[:, 2:]) & (areas[:, None, 2:] > boxes[:, :2])).all(2)


def _holding(boxes: np.ndarray, dots: np.ndarray) -> np.ndarray:
    """Which box holds which dot, (B, D)."""
    return ((dots >= boxes[:, None, :2]) & (dots <= boxes[:, None, 2:])).all(2)
