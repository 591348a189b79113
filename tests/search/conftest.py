"""A trained model with tables whose losses are known, and runs whose outcome follows from them."""

import numpy as np
import pytest
import torch
from torch import nn

from effdl.search.base import Base
from effdl.search.choices import FLOAT, Choice, Family, LayerTable, coded
from effdl.search.study import Study
from effdl.search.trial import Trial
from effdl.search.trials import Trials

OPTIONS = [Choice(sparsity, bits) for sparsity in (0.0, 0.5, 0.8, 0.9, 0.95, 0.99) for bits in (2, 4, 8, FLOAT)]


def harm(choice):
    """What a choice loses: the more zeros and the fewer bits, the more."""
    return 0.01 * choice.sparsity / (1 - choice.sparsity) + 0.2 / choice.bits**2 * (choice.bits < FLOAT)


@pytest.fixture
def base():
    """A factory of bases: a model of two layers, of which the second bears less."""

    def make(filters=0.0, width=64, **row):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)).eval()
        tables = []
        for name, factor in (("0", 1.0), ("2", 4.0)):
            weight = model.get_submodule(name).weight.detach()
            nonzero, size = zip(*(coded(weight, option, 4.0) for option in OPTIONS), strict=True)
            losses = np.array([factor * harm(option) for option in OPTIONS])
            tables.append(LayerTable(name, weight.numel(), losses, np.array(nonzero, float), np.array(size)))
        macs = {table.name: table.numel for table in tables}
        params = sum(p.numel() for p in model.parameters())
        known = {"val_top1": 1.0, "val_loss": 0.0, "params": params, "params_nonzero": params, "size_bytes": 4 * params}
        known |= {"macs": sum(macs.values()), "macs_nonzero": sum(macs.values()), "latency_ms": width / 64}
        return Base(filters, {**known, **row}, model, {}, tables, Family(FLOAT, tuple(OPTIONS)), macs)

    return make


@pytest.fixture
def trials(tmp_path, base):
    """A factory of trials that train nothing: answers get worse by a fifth of what is predicted, and files 4 % larger.
    Answers are 0.01 worse for each time that filters halve the MACs."""

    class Predicted(Trials):
        def add(self, plan, sizes):
            halvings = -np.log2(1 - plan.filters)
            made = base(plan.filters, width=max(8, int(64 * (1 - plan.filters))))
            row = {**made.row, "val_top1": 1 - 0.01 * halvings}
            if plan.layers:
                row |= {key: 1.04 * plan.predicted[key] for key in ("size_bytes", "params_nonzero", "macs_nonzero")}
                row["val_top1"] -= plan.predicted["val_loss"] / 5
            trial = Trial(f"trial-{len(self.found) + 1:02d}", plan, tmp_path, row, self.goal.holds(row))
            self.found.append(trial)
            return trial

    return lambda goal: Predicted(None, tmp_path, goal, [], 1, lambda trial: None, Study("sqlite://", "one"))
