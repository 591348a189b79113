"""The two ways in which sparsity grows, against their formulas."""

import pytest

from effdl.compression.prune.sparsity_schedules import cubic, geometric


def test_each_round_removes_the_same_fraction_of_what_is_left():
    levels = geometric(0.0, 1 - 0.8**4, 4)  # 20 % of what is left each time
    assert levels == pytest.approx([0.2, 0.36, 0.488, 0.5904])
    assert levels[-1] == 1 - 0.8**4


def test_the_last_level_is_the_very_number():
    for after in (0.1, 0.3, 0.9, 0.999):
        assert geometric(0.07, after, 7)[-1] == after
        assert geometric(0.0, after, 1) == [after]
        assert sorted(geometric(0.07, after, 7)) == geometric(0.07, after, 7)


def test_it_starts_from_what_is_zero_already():
    assert geometric(0.5, 0.875, 2) == pytest.approx([0.75, 0.875])
    assert geometric(0.9, 0.5, 10) == [0.5]


@pytest.mark.parametrize("before", [0.0, 0.25])
def test_cubic_is_zhu_and_gupta_s(before):
    final, start, steps, every = 0.9, 1000, 20, 100  # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n dt))^3
    for t in range(start, start + steps * every + 1, every):
        expected = final + (before - final) * (1 - (t - start) / (steps * every)) ** 3
        assert cubic(before, final, (t - start) / (steps * every)) == pytest.approx(expected)
    assert cubic(before, final, 0) == pytest.approx(before)
    assert cubic(before, final, 1) == final
    assert cubic(0.0, 0.8, 0.5) == pytest.approx(0.7)
