from effdl.report.energy_basis import energy_basis

SOURCE = {"cpu": "constant", "gpu": "unavailable", "ram": "estimated"}


def test_every_component_says_what_it_rests_on():
    basis = {"cpu": "4 W per thread", "gpu": "no GPU was found", "ram": "20 W"}
    found = energy_basis({"source": SOURCE, "energy": {"basis": basis, "note": None}})
    assert found == "cpu constant (4 W per thread), gpu unavailable (no GPU was found), ram estimated (20 W)"


def test_runs_of_earlier_versions_say_less():
    assert energy_basis({"source": SOURCE, "energy": {}}) == "cpu constant, gpu unavailable, ram estimated"


def test_a_meter_that_was_given_up_says_why():
    energy = {"basis": {}, "note": "the meter did not answer within 20 s"}
    assert energy_basis({"source": SOURCE, "energy": energy}) == "not measured, the meter did not answer within 20 s"
