import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from effdl.measure.accuracy import accuracy

GENERATOR = torch.Generator().manual_seed(3)
IMAGES = torch.randn(53, 3, 4, 4, generator=GENERATOR)
LABELS = torch.randint(10, (53,), generator=GENERATOR)
BATCHES = list(zip(IMAGES.split(20), LABELS.split(20), strict=True))  # 20, 20, 13


def linear(classes=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, classes))


def naive_topk(logits, labels, k):
    """Fraction of rows with fewer than k logits above that of the label."""
    hits = 0
    for row, label in zip(logits, labels, strict=True):
        hits += sum(value > row[label] for value in row) < k
    return hits / len(labels)


def test_topk_against_a_loop():
    model = linear()
    with torch.no_grad():
        logits = model(IMAGES).numpy()
    result = accuracy(model, BATCHES, topk=(1, 3, 5))
    assert list(result) == ["top1", "top3", "top5", "loss", "images"]
    for k in (1, 3, 5):
        assert result[f"top{k}"] == naive_topk(logits, LABELS.numpy(), k)
    probabilities = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum(1, keepdims=True)
    assert result["loss"] == pytest.approx(-np.log(probabilities[np.arange(53), LABELS]).mean(), rel=1e-6)
    assert result["images"] == 53
    assert all(type(value) in (int, float) for value in result.values())


def test_batch_size_does_not_matter():
    whole = accuracy(linear(), [(IMAGES, LABELS)])
    split = accuracy(linear(), BATCHES)
    assert (whole["top1"], whole["top5"]) == (split["top1"], split["top5"])
    assert whole["loss"] == pytest.approx(split["loss"], rel=1e-6)


@pytest.mark.parametrize("classes", [5, 3])
def test_k_not_below_the_number_of_classes_is_not_measured(classes):
    result = accuracy(linear(classes), [(IMAGES, LABELS % classes)])
    assert result["top5"] is None
    assert 0 <= result["top1"] <= 1


def test_no_images_is_not_measured():
    assert accuracy(linear(), []) == {"top1": None, "top5": None, "loss": None, "images": 0}


def test_modes_are_restored_and_statistics_untouched():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 10))
    model.train()
    model[2].eval()  # frozen
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = accuracy(model, BATCHES), accuracy(model, BATCHES)
    assert first == second  # no dropout
    assert [module.training for module in model] == [True, True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_modes_are_restored_after_an_error():
    model = linear().train()
    with pytest.raises(RuntimeError):
        accuracy(model, [(torch.zeros(2, 7), torch.zeros(2, dtype=torch.long))])
    assert model.training


def test_loss_of_uniform_logits():
    model = linear()
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    assert accuracy(model, BATCHES)["loss"] == pytest.approx(F.cross_entropy(torch.zeros(1, 10), LABELS[:1]).item())
