"""Budgets of filters."""

import pytest

from effdl.compression.prune.structured_pruner import StructuredPruner
from effdl.models.resnet import resnet
from effdl.utils.errors import UserError


def test_what_the_library_trips_over_is_refused_before_training():
    def stumble(group):
        raise IndexError("index 10 is out of bounds")

    pruner = StructuredPruner((1, 8, 8), "macs", "layer", 1, [])
    with pytest.raises(UserError, match=r"^prune=0.5: filters cannot be removed from this model: IndexError"):
        pruner.try_out(resnet(1, 8, 10, depth=8), 0.5, stumble)
