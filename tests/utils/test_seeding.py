"""Seeds: the same on every machine for ever, and different for every place."""

import itertools
import subprocess
import sys

import pytest
import torch

from effdl.utils.seeding import derive_seed, make_deterministic


def test_a_seed_never_changes():
    assert derive_seed(0, "fit", 0, 3) == 1604332372614583644
    assert derive_seed(1) == 4919923341562865044


def test_seeds_of_different_places_differ():
    paths = [(seed, name, number) for seed in range(30) for name in ("fit", "step") for number in range(30)]
    paths += [(seed, name) for seed in range(30) for name in ("model", "fit", "01", "1")]
    paths += [(1, 2), (12,), ("1", 2), (1, "2"), ("12",), (1, 2, 0), ()]
    seeds = [derive_seed(*path) for path in paths]
    assert len(set(seeds)) == len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_spread_evenly():
    seeds = torch.tensor([derive_seed(0, number) for number in range(4000)])
    for bit in range(63):
        assert 0.45 < ((seeds >> bit) & 1).double().mean() < 0.55


def test_torch_takes_every_seed():
    draws = set()
    for seed in itertools.chain(range(20), [2**31, 2**62]):
        torch.manual_seed(derive_seed(seed))
        draws.add(torch.rand(()).item())
    assert len(draws) == 22


@pytest.mark.parametrize("deterministic", [True, False])
def test_make_deterministic(deterministic):
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        make_deterministic(deterministic)
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.deterministic is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_compiler_is_imported_and_told_only_if_it_is_used(deterministic):
    code = (
        f"import sys, torch; from effdl.utils.seeding import make_deterministic as m; m({deterministic}); "
        "print('torch._inductor' in sys.modules, torch.get_deterministic_debug_mode()); "
        f"m({deterministic}, compiled=True); "
        "print(torch._inductor.config.deterministic, torch.get_deterministic_debug_mode())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", str(int(deterministic)), str(deterministic), str(int(deterministic))]
