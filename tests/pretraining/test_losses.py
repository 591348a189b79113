"""Objectives against the equations of their papers, in NumPy."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from effdl.pretraining.contrast import Contrast
from effdl.pretraining.predict import Predict
from effdl.pretraining.self_distillation import SelfDistillation

loss = pytest.importorskip("lightly.loss")
SHAPE = (2, 1, 4, 4)


@pytest.fixture
def views():
    """Two views' vectors, (7, 5) each, as the loop stacks them, and as arrays."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(7, 5, generator=generator)
    second = first + torch.randn(7, 5, generator=generator)
    return torch.cat([first, second]), first.double().numpy(), second.double().numpy()


def found(objective, vectors):
    return objective(torch.zeros(len(vectors), *SHAPE[1:]), torch.zeros(len(vectors)), vectors).item()


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_simclr_is_equation_1_of_chen_2020(views):
    vectors, first, second = views
    z, temperature, terms = unit(np.concatenate([first, second])), 0.3, []
    for i in range(14):
        similar = np.exp(z @ z[i] / temperature)
        positive = similar[(i + 7) % 14]
        terms.append(-np.log(positive / (similar.sum() - similar[i])))
    assert found(Contrast(SHAPE, nn.Identity(), loss.NTXentLoss(temperature)), vectors) == pytest.approx(np.mean(terms))


def test_more_views_are_compared_two_by_two(views):
    vectors, first, second = views
    third = first[::-1].copy()
    stacked = torch.cat([vectors, torch.from_numpy(third).float()])
    contrast = Contrast((3, *SHAPE[1:]), nn.Identity(), loss.NegativeCosineSimilarity())
    predict = Predict(nn.Identity(), (3, *SHAPE[1:]), nn.Identity(), nn.Identity(), loss.NegativeCosineSimilarity())
    a, b, c = map(unit, (first, second, third))
    pairs = [-(x * y).sum(1).mean() for x, y in ((a, b), (a, c), (b, c))]
    assert found(contrast, stacked) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert found(predict, stacked) == pytest.approx(np.mean(pairs), rel=1e-5)  # both orders are alike here


def test_barlow_twins_is_equations_1_and_2_of_zbontar_2021(views):
    vectors, first, second = views
    a, b = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (first, second))
    c = a.T @ b / 7
    expected = ((1 - np.diag(c)) ** 2).sum() + 0.01 * (c**2).sum() - 0.01 * (np.diag(c) ** 2).sum()
    found_loss = found(Contrast(SHAPE, nn.Identity(), loss.BarlowTwinsLoss(0.01)), vectors)
    assert found_loss == pytest.approx(expected, rel=1e-4)


def test_vicreg_is_equations_1_to_6_of_bardes_2022_with_half_of_each_variance(views):
    """Half, as in the code of its authors."""
    vectors, first, second = views

    def variance(z):
        return np.maximum(0, 1 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean()

    def covariance(z):
        c = np.cov(z.T)
        return (c**2).sum() / 5 - (np.diag(c) ** 2).sum() / 5

    first, second, vectors = first / 3, second / 3, vectors / 3  # deviations below 1
    terms = ((first - second) ** 2).mean(), variance(first) + variance(second), covariance(first) + covariance(second)
    expected = 25 * terms[0] + 10 * terms[1] / 2 + 2 * terms[2]
    made = Contrast(SHAPE, nn.Identity(), loss.VICRegLoss(25.0, 10.0, 2.0))
    assert found(made, vectors) == pytest.approx(expected, rel=1e-5)


def predicting(**options):
    torch.manual_seed(1)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 5))
    made = Predict(trunk, SHAPE, nn.Linear(5, 5), nn.Linear(5, 5), loss.NegativeCosineSimilarity(), **options)
    return trunk, made


def array(layer, z):
    return z @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def test_simsiam_is_equations_1_to_4_of_chen_and_he_2021(views):
    vectors, first, second = views
    _, made = predicting()
    z = [array(made.projector, x) for x in (first, second)]
    p = [array(made.predictor, x) for x in z]
    distances = [-(unit(p[i]) * unit(z[1 - i])).sum(1).mean() for i in (0, 1)]
    assert found(made, vectors) == pytest.approx(np.mean(distances), rel=1e-5)


def test_no_gradient_flows_through_the_target():
    """With it, the loss moves the projector in another way; the predictor sees no difference."""
    vectors, gradients = torch.randn(14, 5), []
    for stop in (True, False):
        _, made = predicting(stop_gradient=stop)
        made(torch.zeros(14, *SHAPE[1:]), None, vectors).backward()
        gradients.append((made.projector.weight.grad, made.predictor.weight.grad))
    assert not torch.allclose(gradients[0][0], gradients[1][0])
    assert torch.equal(gradients[0][1], gradients[1][1])


def test_byol_is_equation_2_of_grill_2020():
    trunk, made = predicting(momentum=0.9)
    with torch.no_grad():
        for parameter in made.target.parameters():
            parameter.mul_(1.3)  # the copy is another network
    images = torch.randn(14, *SHAPE[1:])
    features = trunk(images)
    p, t = (unit(x.detach().double().numpy()) for x in (made.predictor(made.projector(features)), made.target(images)))
    distance = [((p[i : i + 7] - t[7 - i : 14 - i]) ** 2).sum(1).mean() for i in (0, 7)]  # of unit vectors
    assert 2 + 2 * made(images, None, features).item() == pytest.approx(np.mean(distance), rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_dino_is_equations_2_and_4_of_caron_2021():
    from lightly.models.modules.heads import DINOProjectionHead

    torch.manual_seed(0)
    trunk, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 6)), torch.randn(14, *SHAPE[1:])
    dino = loss.DINOLoss(8, teacher_temp=0.05, student_temp=0.2, center_momentum=0.7)
    made = SelfDistillation(trunk, SHAPE, lambda: DINOProjectionHead(6, 5, 4, 8), dino, 0.9)
    with torch.no_grad():
        for parameter in made.target[0].parameters():
            parameter.mul_(1.3)  # the copy is another network
    features = trunk(images)
    own, aims = (x.detach().double().numpy() for x in (made.projector(features), made.target(images)))
    center = np.zeros(8)
    for _ in range(2):  # the second time with the center of the first
        t, s = softmax((aims - center) / 0.05), softmax(own / 0.2)
        entropy = [-(t[i : i + 7] * np.log(s[7 - i : 14 - i])).sum(1).mean() for i in (0, 7)]
        assert made(images, None, features).item() == pytest.approx(np.mean(entropy), rel=1e-4)
        center = 0.7 * center + 0.3 * aims.mean(0)
    made(images, None, features).backward()
    assert all(parameter.grad is None for parameter in made.target.parameters())


def softmax(z):
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def test_the_copy_follows_by_a_momentum_that_grows_to_1():
    trunk, made = predicting(momentum=0.8)
    before = [parameter.clone() for parameter in made.target.parameters()]
    own = [*trunk.parameters(), *made.projector.parameters()]
    with torch.no_grad():
        for parameter in own:
            parameter.add_(1.0)
    made.after_update(trunk, 0.5)  # half way: 1 - 0.2 / 2
    for old, new, aim in zip(before, made.target.parameters(), own, strict=True):
        assert torch.allclose(new, 0.9 * old + 0.1 * aim)
    after = [parameter.clone() for parameter in made.target.parameters()]
    made.after_update(trunk, 1.0)
    assert all(map(partial(torch.allclose, atol=1e-6), after, made.target.parameters()))
