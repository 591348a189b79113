import pytest
from torch import nn

from effdl.nn.modes import restored_modes


def test_every_module_has_its_mode_again_also_after_an_error():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    model[1].eval()  # a frozen norm within a model in training
    with pytest.raises(TypeError), restored_modes(model):
        model.eval()("no tensor")
    assert [module.training for module in model.modules()] == [True, True, False, True]
