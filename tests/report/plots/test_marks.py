"""The marks of methods."""

from effdl.report.plots.marks import COLOURS, marks


def test_methods_look_different_and_the_same_wherever_they_are():
    rows = [{"stage": "prune", "method": f"m{i:02}", "dense": False} for i in range(56)]
    found = marks([*rows, {"stage": "dense", "method": "train", "dense": True}])
    assert len(found) == len(set(found.values())) == 57
    assert next(iter(found)) == "dense"
    assert found["prune: m00"] == (COLOURS[0], "circle")
    assert marks(rows[::-1]) == {name: mark for name, mark in found.items() if name != "dense"}
