"""Rows joined from batches against concatenation."""

import pytest
import torch

from effdl.nn.row_buffer import RowBuffer, joined


def test_batches_are_joined_in_their_order():
    x = torch.arange(14.0).view(7, 2)
    assert torch.equal(joined(x.split(3), 7), x)
    assert joined(x.to(torch.uint8).split(3), 7).dtype == torch.uint8


def test_what_is_missing_is_said():
    rows = RowBuffer(3)
    rows.add(torch.zeros(2, 4))
    with pytest.raises(ValueError, match="2 rows came instead of 3"):
        rows.all()


def test_more_than_announced_fails():
    with pytest.raises(RuntimeError):
        joined([torch.zeros(2, 4), torch.zeros(2, 4)], 3)
