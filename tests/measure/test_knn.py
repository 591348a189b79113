import numpy as np
import pytest
import torch

from effdl.measure import knn
from effdl.measure.knn import knn_accuracy

GENERATOR = torch.Generator().manual_seed(5)
LABELS, ASKED = torch.randint(4, (60,), generator=GENERATOR), torch.randint(4, (37,), generator=GENERATOR)
CENTRES = torch.randn(4, 8, generator=GENERATOR)
KNOWN = CENTRES[LABELS] + torch.randn(60, 8, generator=GENERATOR)
FEATURES = CENTRES[ASKED] + torch.randn(37, 8, generator=GENERATOR)


def by_the_paper(k, temperature):
    """Wu et al. 2018, section 3.4, with loops."""
    known, hits = KNOWN.double().numpy(), 0
    for feature, label in zip(FEATURES.double().numpy(), ASKED.tolist(), strict=True):
        similarity = known @ feature / np.linalg.norm(known, axis=1) / np.linalg.norm(feature)
        votes = np.zeros(4)
        for neighbour in np.argsort(-similarity)[:k]:
            votes[LABELS[neighbour]] += np.exp(similarity[neighbour] / temperature)
        hits += votes.argmax() == label
    return hits / len(ASKED)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.5), (500, 0.07)])
def test_against_the_formula(k, temperature):
    found = knn_accuracy(KNOWN, LABELS, FEATURES, ASKED, k, temperature)
    assert found == by_the_paper(min(k, 60), temperature)
    assert 0.3 < found < 1


def test_in_parts_it_is_the_same(monkeypatch):
    whole = knn_accuracy(KNOWN, LABELS, FEATURES, ASKED)
    monkeypatch.setattr(knn, "_SIMILARITIES", 60 * 5)
    assert knn_accuracy(KNOWN, LABELS, FEATURES, ASKED) == whole


def test_what_was_seen_is_known_and_lengths_do_not_matter():
    assert knn_accuracy(KNOWN, LABELS, 1000 * KNOWN, LABELS, 1) == 1


def test_a_low_temperature_and_labels_of_other_classes():
    assert knn_accuracy(KNOWN, LABELS, KNOWN, LABELS, 20, 1e-3) == 1  # exp(s/T) alone would overflow
    assert knn_accuracy(KNOWN, LABELS, KNOWN, LABELS + 4) == 0
