"""DCASE task 1, against its own rows and against pandas."""

import pytest

from effdl.measure.dcase import RANKED_BY, dcase_columns, model_kb, weighted_ranks

ROW = {"params": 1200, "params_nonzero": 1000}


@pytest.mark.parametrize(("parameters", "kb"), [(115_219, 450.1), (119_758, 467.8)], ids=["baseline", "Ooi et al."])
def test_size_of_published_systems(parameters, kb):
    """The baseline of DCASE 2020 task 1b (450 KB) and the ensemble of Ooi et al. (468 KB), both in 32 bits."""
    assert round(model_kb([(parameters, 32)]), 1) == kb


def test_size_leaves_out_zeros_and_memory_does_not():
    layer = {"weights": 1000, "weights_nonzero": 800, "weight_bits": 8}
    columns = dcase_columns(ROW, [layer], ["magnitude", "int8"])
    assert columns == {
        "dcase_size_kb": (800 * 8 + 200 * 32) / 8 / 1024,
        "dcase_memory_kb": (1000 * 8 + 200 * 32) / 8 / 1024,
        "dcase_complexity_management": "magnitude, int8",
    }
    seven = dcase_columns(ROW, [{**layer, "weight_bits": 7}], [])
    assert seven["dcase_size_kb"] == pytest.approx(columns["dcase_size_kb"])
    half = dcase_columns(ROW, [{**layer, "weight_bits": 16}], [])
    assert (half["dcase_size_kb"], half["dcase_memory_kb"]) == (1000 * 16 / 8 / 1024, 1200 * 16 / 8 / 1024)
    assert half["dcase_complexity_management"] == "-"


def test_what_was_not_recorded_is_none():
    assert dcase_columns(ROW, [], [])["dcase_size_kb"] is None
    assert dcase_columns({}, [{"weights": 1, "weights_nonzero": 1, "weight_bits": 8}], [])["dcase_memory_kb"] is None


def test_weighted_ranks_agree_with_pandas():
    pandas = pytest.importorskip("pandas")
    entries = [(-0.9, 100, 3), (-0.8, 50, 3), (-0.9, 50, 2), (-0.7, 50, 9)]
    expected = (pandas.DataFrame(entries).rank(method="average") * [0.5, 0.25, 0.25]).sum(axis=1)
    assert weighted_ranks(entries, [0.5, 0.25, 0.25]) == pytest.approx(list(expected))


def test_entries_without_all_values_are_not_ranked():
    assert weighted_ranks([(1, 2), (None, 1), (2, 3)], [0.5, 0.5]) == [1, None, 2]
    assert weighted_ranks([], [1]) == []


def test_accuracy_weighs_as_much_as_both_costs():
    assert RANKED_BY == {"top1": 0.5, "dcase_memory_kb": 0.25, "macs": 0.25}
