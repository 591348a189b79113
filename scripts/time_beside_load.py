"""Is a masked model ever called faster than the dense one on a machine that is busy at random moments?

    python scripts/time_beside_load.py [--model resnet] [--times 10] [--threads 1]

Zeros 90 % of a model's weights, which makes no kernel here faster, and times it against the dense model as a run does,
again and again, while processes burn the CPUs at random moments. Each line says what the run would say, and besides
what the two models seem to be if they are timed one after the other. Returns 1 if the masked one was called faster.
"""

import argparse
import copy
import multiprocessing
import random
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from effdl.config.options import content
from effdl.deploy.latency import as_deployed
from effdl.measure.ratio import FASTER
from effdl.models.build import build
from effdl.nn.layers import weights

CONFIGS = Path(__file__).parent.parent / "configs" / "model"
SHAPE, CLASSES = (1, 8, 8), 10  # of the digits
LONGEST_S = 2.0  # of a moment in which a CPU is busy or idle


def burn(seed: int) -> None:
    """Compute at random moments, until the process is ended."""
    draw = random.Random(seed)
    while True:
        end = time.perf_counter() + draw.uniform(0, LONGEST_S)
        while time.perf_counter() < end:
            pass
        time.sleep(draw.uniform(0, LONGEST_S))


@contextmanager
def load(processes: int):
    """Burn CPUs in the ``with`` block."""
    context = multiprocessing.get_context("spawn")
    burning = [context.Process(target=burn, args=(seed,), daemon=True) for seed in range(processes)]
    for process in burning:
        process.start()
    try:
        yield
    finally:
        for process in burning:
            process.terminate()


def masked(model: nn.Module, part: float = 0.9) -> nn.Module:
    """A copy whose smallest weights, this part of each layer's, are zero."""
    model = copy.deepcopy(model)
    for _, module, attribute in weights(model):
        weight = getattr(module, attribute).data
        weight[weight.abs() <= weight.abs().flatten().kthvalue(int(part * weight.numel())).values] = 0
    return model


def main() -> int:
    """Time, print, and return 1 if a masked model was called faster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    config = {key: value for key, value in content(CONFIGS / f"{args.model}.yaml").items() if "$" not in str(value)}
    dense = build(config, SHAPE[0], SHAPE[1], CLASSES).eval()
    sparse = masked(dense)

    def timed(model: nn.Module, against: nn.Module | None = None) -> dict:
        how = {"storage": {}, "grids": {}, "device": torch.device("cpu"), "channels_last": True}
        return as_deployed(model, against, input_shape=SHAPE, threads=args.threads, **how)

    shown = []
    with load(torch.get_num_threads()):
        for number in range(1, args.times + 1):
            apart = timed(dense)["latency_ms"] / timed(sparse)["latency_ms"]
            row = timed(sparse, dense)
            shown.append(row["speedup_shown"])
            interval = "{speedup:.2f} ({speedup_low:.2f} to {speedup_high:.2f}), equals {speedup_resolution:.2f}"
            print(f"{number}: {shown[-1]}: {interval.format(**row)}; one after the other {apart:.2f}", flush=True)
    print(f"called faster: {shown.count(FASTER)} of {len(shown)}")
    return int(FASTER in shown)


if __name__ == "__main__":
    sys.exit(main())
