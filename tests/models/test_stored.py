"""Rebuilding a model from its file, and refusing what is not one."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from effdl.models import storage
from effdl.models.build import build
from effdl.models.mlp import mlp
from effdl.models.stored import load_model
from effdl.utils.errors import UserError

CONFIG = {"_target_": "effdl.models.mlp.mlp", "hidden": [7], "width": 1.0, "dropout": 0.0}


def description(**config) -> dict:
    return {"config": {**CONFIG, **config}, "channels": 1, "image_size": 4, "classes": 3}


def test_a_model_comes_back_bit_identical_and_in_eval_mode(tmp_path):
    model = mlp(1, 4, 3, hidden=[7])
    storage.write(tmp_path / "model.safetensors", model.state_dict(), description())
    for source in (tmp_path, tmp_path / "model.safetensors"):
        loaded = load_model(source)
        assert not loaded.training
        for (name, a), b in zip(model.state_dict().items(), loaded.state_dict().values(), strict=True):
            assert torch.equal(a, b), name


def test_a_file_without_a_description_is_refused(tmp_path):
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "plain.safetensors")
    with pytest.raises(UserError, match="was not stored by effdl"):
        load_model(tmp_path / "plain.safetensors")


@pytest.mark.parametrize("target", ["os.system", "subprocess.run", "effdl.models.build.locate", "builtins.exec"])
def test_a_file_cannot_name_code_to_run(tmp_path, target):
    storage.write(tmp_path / "model.safetensors", {}, description(_target_=target))
    with pytest.raises(UserError, match=rf"^{tmp_path}: .*(may only name a family|has no attribute)"):
        load_model(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such model file"):
        load_model(tmp_path)


def test_a_model_of_another_version_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    model = mlp(1, 8, 10, hidden=[4])
    description = {"config": {"option": "of_tomorrow"}, "channels": 1, "image_size": 8, "classes": 10}
    storage.write(path, model.state_dict(), description)
    with pytest.raises(UserError, match=rf"{path}: model=of_tomorrow is no option of this version"):
        load_model(path)


def test_a_model_whose_layout_has_versions_comes_back(tmp_path):
    torch.manual_seed(0)
    config = {"_target_": "effdl.models.torchvision.torchvision", "name": "mnasnet0_5"}
    model = build(config, 3, 32, 4).eval()
    file = tmp_path / "model.safetensors"
    storage.write(file, model.state_dict(), {"config": config, "channels": 3, "image_size": 32, "classes": 4})
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_model(file)(images), model(images))
