"""Weights of another run: what is loaded, what is not, and what is said of it."""

import pytest
import torch
from safetensors.torch import save_file

from effdl.data.inputs import Inputs
from effdl.models import storage
from effdl.models.mlp import mlp
from effdl.models.resnet import resnet
from effdl.models.weights import load_weights
from effdl.utils.errors import UserError

TEN = tuple("0123456789")


def store(model, path):
    save_file(model.state_dict(), path)
    return str(path)


def same(model, other):
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_all_tensors_are_copied_from_a_plain_file(tmp_path):
    source, model = resnet(1, 8, 10, depth=8), resnet(1, 8, 10, depth=8)
    loaded = load_weights(model, store(source, tmp_path / "any.safetensors"), TEN)
    assert same(model, source)
    count = len(model.state_dict())
    assert loaded.lines() == [f"{count} of {count} tensors loaded, none initialised anew"]
    assert loaded.inputs is None


def described(classes):
    inputs = Inputs(classes, 1, 8, (33.0,), (78.5,))
    return inputs, {"channels": 1, "image_size": 8, "classes": len(classes), "inputs": inputs.described()}


def test_all_tensors_are_copied_from_a_run_folder_in_any_order_of_its_classes(tmp_path):
    source, model = resnet(1, 8, 10, depth=8), resnet(1, 8, 10, depth=8)
    inputs, description = described(TEN[::-1])
    storage.write(tmp_path / "model.safetensors", source.state_dict(), description)
    loaded = load_weights(model, str(tmp_path), TEN)
    assert same(model, source)
    assert loaded.inputs == inputs
    assert loaded.anew == []


def test_a_last_layer_for_another_number_of_classes_stays_as_initialised(tmp_path):
    source, model = mlp(1, 8, 100), mlp(1, 8, 10)
    head = model[-1].weight.clone()
    loaded = load_weights(model, store(source, tmp_path / "any.safetensors"), TEN)
    assert torch.equal(model[-1].weight, head)
    assert torch.equal(model[1].weight, source[1].weight)
    assert loaded.lines() == ["4 of 6 tensors loaded", "initialised anew: 7.weight, 7.bias"]


def test_a_last_layer_for_as_many_other_classes_stays_as_initialised(tmp_path):
    source, model = mlp(1, 8, 10), mlp(1, 8, 10)
    head = model[-1].weight.clone()
    storage.write(tmp_path / "model.safetensors", source.state_dict(), described((*TEN[:9], "ten"))[1])
    loaded = load_weights(model, str(tmp_path), TEN)
    assert torch.equal(model[-1].weight, head)
    assert loaded.anew == ["7.weight", "7.bias"]


def test_batch_counters_may_be_missing(tmp_path):
    state = {k: v for k, v in resnet(1, 8, 10, depth=8).state_dict().items() if "num_batches" not in k}
    save_file(state, tmp_path / "any.safetensors")
    loaded = load_weights(resnet(1, 8, 10, depth=8), str(tmp_path / "any.safetensors"), TEN)
    assert (loaded.count, loaded.anew) == (len(state), [])


def test_other_differences_are_refused_and_change_nothing(tmp_path):
    model = mlp(1, 8, 10)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    source = store(mlp(1, 8, 10, hidden=[300, 100, 50]), tmp_path / "any.safetensors")
    with pytest.raises(UserError, match=r"does not fit the model: 10\.bias is not in the model; 10\.weight is not"):
        load_weights(model, source, TEN)
    source = store(mlp(1, 8, 10, width=0.5), tmp_path / "any.safetensors")
    with pytest.raises(UserError, match=r"1\.weight is \(150, 64\) there, \(300, 64\) here; .* and 1 more"):
        load_weights(model, source, TEN)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"^model\.weights=.*: no such file"):
        load_weights(mlp(1, 8, 10), str(tmp_path / "none"), TEN)
    with pytest.raises(UserError, match=r"^teacher\.weights=.*: no such file: .*model\.safetensors"):
        load_weights(mlp(1, 8, 10), str(tmp_path), TEN, "teacher.weights")
    (tmp_path / "any.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="damaged"):
        load_weights(mlp(1, 8, 10), str(tmp_path / "any.safetensors"), TEN)
