"""Time effdl's training loop on a GPU against a bare loop, or inference; one line of JSON.

    python scripts/time_gpu.py NAME [--device cuda] [--rounds 5] [--batches 40] [--batch-size 512]

The bare loop makes forward pass, backward pass and optimizer step on one fixed batch in the same layout, precision and
optimizer; nothing that feeds real data can be faster, so the ratio of its rate to ours is the share of the time for
which the GPU is busy. `fit` is timed without augmentation and with flip-crop, all in turns in one process; the figures
are medians of the rounds. A step's time is that of the training loop alone: no validation, no checkpoint.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from time import perf_counter

import torch
from time_pretraining import random_images, runner_of
from torch import nn
from torch.nn import functional as F

from effdl.config.compose import composed, settings
from effdl.data.build import Data
from effdl.measure.latency import throughput
from effdl.models.build import build
from effdl.training.device import select_device

NAMES = {
    "resnet20_bf16": ("model=resnet", "device.precision=bf16"),
    "resnet20_fp32": ("model=resnet", "device.precision=fp32"),
    "resnet18_bf16": ("model=resnet18", "device.precision=bf16"),
    "inference": ("model=resnet",),
}
_INFERENCE_BATCHES = (512, 2048, 8192)


def config_of(name: str, args: argparse.Namespace, augment: str) -> dict:
    """The config of a timing; two epochs, of which the second is timed."""
    fixed = ["dataset=cifar10", "epochs=2", "optimizer.lr=0.01", "energy.enabled=false", f"augment=[{augment}]"]
    return settings(composed([*fixed, f"device={args.device}", f"batch_size={args.batch_size}", *NAMES[name]], None))


def ours(config: dict, data: Data) -> float:
    """Images per second of the second epoch of a `fit`."""
    with tempfile.TemporaryDirectory() as folder:
        runner = runner_of(config, data, folder)
        runner.trainer.stage = "dense"
        runner.trainer.fit(runner.prepared.model, epochs=config["epochs"])
        return runner.folder.epochs.read()[-1]["images_per_s"]


def bare(config: dict, data: Data, steps: int) -> float:
    """Images per second of the bare loop."""
    with tempfile.TemporaryDirectory() as folder:
        runner = runner_of(config, data, folder)
        device, batch = runner.prepared.device, config["batch_size"]
        model = device.move(runner.prepared.model).train()
        optimizer = runner.prepared.recipe().optimizer(model)
    layout = torch.channels_last if device.channels_last else torch.contiguous_format
    x = torch.randn(batch, *data.input_shape, device=device.torch_device).to(memory_format=layout)
    y = data.train.labels[:batch]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with device.autocast():
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return batch * steps / _seconds(lambda: [step() for _ in range(steps)], step, device.torch_device)


def _seconds(run: Callable, warm: Callable, device: torch.device) -> float:
    """The time of a function, after another was called a few times."""
    for _ in range(3):
        warm()
    wait = partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    wait()
    began = perf_counter()
    run()
    wait()
    return perf_counter() - began


def training(name: str, args: argparse.Namespace) -> dict:
    """Step times, and the part of the time for which the GPU is busy."""
    plain, augmented = config_of(name, args, ""), config_of(name, args, "flip_crop")
    images = random_images(args.batches * args.batch_size)
    held = images.select(torch.arange(args.batch_size))
    data = Data("random", images, None, held, tuple("0123456789"), 3, 32, (125.0,) * 3, (60.0,) * 3, "")
    data = data.to(select_device(plain["device"]).torch_device)
    ways = {
        "bare": partial(bare, plain, data, args.batches),
        "plain": partial(ours, plain, data),
        "flip_crop": partial(ours, augmented, data),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-1, args.rounds):  # one round to warm up
        for way, measured in ways.items():
            rate = measured()
            if number >= 0:
                rates[way].append(rate)
    found = {f"{way}_step_ms": round(1e3 * args.batch_size / statistics.median(of), 3) for way, of in rates.items()}
    ratios = {way: [a / b for a, b in zip(rates["bare"], rates[way], strict=True)] for way in ("plain", "flip_crop")}
    found |= {f"{way}_to_bare": round(statistics.median(of), 3) for way, of in ratios.items()}
    return found | {"busy_with_flip_crop": round(1 / statistics.median(ratios["flip_crop"]), 3)}


def inference(name: str, args: argparse.Namespace) -> dict:
    """Images per second in both widths of floats, at several batch sizes."""
    config = config_of(name, args, "")
    device, found = select_device(config["device"]), {}
    for dtype in (torch.float32, torch.bfloat16):
        model: nn.Module = device.move(build(config["model"], 3, 32, 10)).to(dtype)
        for batch in _INFERENCE_BATCHES if args.device == "cuda" else (args.batch_size,):
            row = throughput(model, (3, 32, 32), device=device.torch_device, batch=batch)
            found[f"{str(dtype).removeprefix('torch.')}_{batch}_images_per_s"] = round(row["throughput_images_per_s"])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="of an epoch")
    parser.add_argument("--batch-size", type=int, default=512)
    args = parser.parse_args()
    torch.manual_seed(0)
    print(json.dumps((inference if args.name == "inference" else training)(args.name, args)))


if __name__ == "__main__":
    main()
