"""Which steps a config asks for."""

from effdl.compression.pipeline import stages_of
from effdl.config.compose import composed, settings


def config(*overrides: str) -> dict:
    return settings(composed(list(overrides), None))


def test_steps_without_a_level_are_off():
    assert [stage.name for stage in stages_of(config())] == ["dense"]
    assert [stage.name for stage in stages_of(config("prune=0"))] == ["dense"]
    assert [step[:2] for step in stages_of(config("prune=0.5"))] == [("dense", "train"), ("prune", "magnitude")]


def test_a_method_used_twice_makes_two_stages():
    twice = config("prune=0.5")
    twice["compression"]["again"] = twice["compression"]["magnitude"]
    assert [stage.name for stage in stages_of(twice)] == ["dense", "prune", "prune-2"]
