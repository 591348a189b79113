"""A trained model with tables whose losses are known, and runs whose outcome follows from them."""

from dataclasses import replace
from typing import ClassVar

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
    """A factory of bases: a model of two layers, of which the second bears less. With `int8` given it is one that is
    timed, of integers or of floats."""

    def make(filters=0.0, width=64, int8=None, **row):
        options = [one for one in OPTIONS if int8 is None or one.bits == (8 if int8 else FLOAT)]
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10)).eval()
        tables = []
        for name, factor in (("0", 1.0), ("2", 4.0)):
            weight = model.get_submodule(name).weight.detach()
            nonzero, size = zip(*(coded(weight, option, 4.0) for option in options), strict=True)
            losses = np.array([factor * harm(option) for option in options])
            tables.append(LayerTable(name, weight.numel(), losses, np.array(nonzero, float), np.array(size)))
        macs = {table.name: table.numel for table in tables}
        params = sum(p.numel() for p in model.parameters())
        known = {"val_top1": 1.0, "val_loss": 0.0, "params": params, "params_nonzero": params, "size_bytes": 4 * params}
        known |= {"macs": sum(macs.values()), "macs_nonzero": sum(macs.values()), "latency_ms": width / 64}
        known |= {"latency_part": width / 64}
        family = Family(8 if int8 else FLOAT, tuple(options), bool(int8))
        return Base(filters, {**known, **row}, model, {}, tables, family, macs)

    return make


def width_left(filters):
    """How many units of 64 are left without this fraction of the MACs."""
    return max(1, int(64 * (1 - filters)))


@pytest.fixture
def thinned(base):
    """A factory of bases that are left without a fraction of the MACs; arguments: see `base`."""
    return lambda filters=0.0, int8=None: base(filters, width_left(filters), int8)


@pytest.fixture
def dry_run():
    """What is known of a plan of `trials` without training: its shapes and latency; see `trials`."""

    def row(plan):
        width = width_left(plan.filters)
        part = width / 64 * ((0.8 if plan.filters < 0.7 else 1.2) if plan.int8 else 1)
        return {"params": 75 * width + 10, "macs": 74 * width, "latency_ms": part, "latency_part": part}

    return row


@pytest.fixture
def trials(tmp_path, thinned, dry_run):
    """A factory of trials that train nothing: answers get worse by a fifth of what is predicted, and files 4 % larger.
    Answers are 0.01 worse for each time that filters halve the MACs, and 0.002 with 8-bit integers, which take 0.8 of
    the time of the dense model's floats, and 1.2 of narrow ones. Longer training brings 0.005."""

    class Predicted(Trials):
        asked: ClassVar = {}  # sizes of layers, by plan

        def add(self, plan, sizes):
            self.asked[plan.digest] = dict(sizes)
            made = thinned(plan.filters)
            row = {**made.row, "val_top1": 1 + 0.01 * np.log2(made.row["latency_ms"])}
            if plan.layers:
                row |= {key: 1.04 * plan.predicted[key] for key in ("size_bytes", "params_nonzero", "macs_nonzero")}
                row |= {
                    "course_score": plan.predicted.get("course_score"),
                    "micronet_score": plan.predicted["micronet_score"],
                    "val_top1": row["val_top1"] - plan.predicted["val_loss"] / 5,
                }
            if plan.longer:
                before = replace(plan, longer=False).digest
                [row["val_top1"]] = [0.005 + t.row["val_top1"] for t in self.found if t.plan.digest == before]
            row |= dry_run(plan)
            if plan.int8:
                row |= {
                    "val_top1": row["val_top1"] - 0.002,
                    "size_bytes": row["size_bytes"] / (1 if plan.layers else 4),
                }
            trial = Trial(f"trial-{len(self.found) + 1:02d}", plan, tmp_path, row, self.goal.holds(row))
            self.found.append(trial)
            return trial

    return lambda goal: Predicted(None, tmp_path, goal, [], 1, lambda trial: None, Study("sqlite://", "one"))
