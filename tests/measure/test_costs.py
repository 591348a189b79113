from effdl.measure.costs import spent, sum_known, sum_or_none
from effdl.measure.metrics import METERED


def test_sums_with_unknown_parts():
    assert (sum_or_none([1, None]), sum_or_none([]), sum_or_none([1, 2])) == (None, 0, 3)
    assert (sum_known([1, None]), sum_known([None]), sum_known([])) == (1, None, None)


def test_what_measuring_cost_stands_apart():
    rows = [dict.fromkeys(METERED, 2.0) | {f"evaluate_{key}": 5.0 for key in METERED}] * 3
    found = spent([{**row, "training_flops": 1.0} for row in rows])
    assert found.pop("training_flops") == 3.0
    assert found == dict.fromkeys(METERED, 6.0) | {f"evaluate_{key}": 15.0 for key in METERED}


def test_rows_of_earlier_versions_leave_new_keys_unknown():
    found = spent([{"duration_s": 1.0, "energy_kwh": None, "evaluate_duration_s": 2.0}])
    assert (found["duration_s"], found["energy_kwh"], found["cpu_kwh"]) == (1.0, None, None)
    assert found["evaluate_duration_s"] == 2.0
