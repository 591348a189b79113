"""The probe of a network, part by part."""

from dataclasses import replace

import pytest
import torch

from effdl.data.build import load
from effdl.models.resnet import resnet
from effdl.runs import probe as module
from effdl.runs.probe import probe
from effdl.utils.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(digits_config):
    return load(digits_config(subset=300))


def network():
    torch.manual_seed(0)
    return resnet(1, 8, 10, depth=8, width=0.5)


def test_every_part_but_the_last_layer_has_a_row_whatever_fits_into_memory(data, monkeypatch):
    rows = list(probe(network(), data, 100, CPU))
    assert [row["part"] for row in rows] == ["0", "3", "4", "5"]
    assert [row["feature_width"] for row in rows] == [8, 8, 16, 32]
    assert sorted(row["macs"] for row in rows) == [row["macs"] for row in rows]
    for key in ("linear_top1", "val_linear_top1", "knn_top1", "val_knn_top1"):
        assert all(0.3 < row[key] <= 1 for row in rows), key
    monkeypatch.setattr(module, "_MOST_BYTES", 1)  # a pass for each part
    assert list(probe(network(), data, 100, CPU)) == rows


def test_the_test_split_decides_nothing(data):
    rows = list(probe(network(), data, 100, CPU))
    scrambled = data.test.labels.flip(0)

    changed = replace(data, test=replace(data.test, labels=scrambled))
    for row, again in zip(rows, probe(network(), changed, 100, CPU), strict=True):
        same = [key for key in row if not key.startswith(("linear_top1", "knn_top1"))]
        assert {key: again[key] for key in same} == {key: row[key] for key in same}


def test_what_cannot_be_probed_is_refused(data, digits_config):
    with pytest.raises(UserError, match=r"set dataset\.val above 0"):
        probe(network(), load(digits_config(subset=300, val=0.0)), 100, CPU)
    single = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with pytest.raises(UserError, match="one layer only"):
        probe(single, data, 100, CPU)
