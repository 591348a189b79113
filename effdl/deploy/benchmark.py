"""``python -m effdl.deploy.benchmark FILE ... --shape C H W``: time model files in turns in this process; prints JSON.

Files are timed in a process of their own: the thread pools of PyTorch and ONNX Runtime spin while they wait, and two of
them in one process slow each other down several times. For the same reason the files of one process are of one
runtime. PyTorch is imported only where it is needed.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np

from effdl.measure.timing import Rounds, latency_row, take_turns, throughput_row
from effdl.utils.errors import RunError

_LAYOUTS = {".onnx": None, ".pt2": "contiguous", ".pte": "contiguous"}


class _Timed(NamedTuple):
    """What was found out about files that took turns.

    `rows` and `rounds` hold for each file its `latency_row` and its times; `throughput` is a `throughput_row` of the
    first file.
    """

    rows: list[dict]
    rounds: list[Rounds]
    throughput: dict


def timed(
    paths: Sequence[str | Path],
    input_shape: tuple[int, int, int],
    *,
    threads: int,
    batch: int = 1,
    throughput_batch: int | None = None,
    channels_last: bool = False,
    trusted: bool = False,
) -> _Timed:
    """Time model files in turns, in a process of their own.

    Args:
        paths: all ``.safetensors`` (stored models, in eager PyTorch), ``.onnx``, ``.pt2`` or ``.pte``.
        input_shape: shape (C, H, W) of an image.
        threads: number of CPU threads.
        batch: number of images per inference.
        throughput_batch: number of images per inference for the throughput; None: it is not measured.
        channels_last: whether the memory layout is channels-last; for stored models only.
        trusted: also build a stored model whose code is not part of effdl.

    Raises:
        RunError: the process failed.
    """
    flags = [flag for flag, on in (("--channels-last", channels_last), ("--trust", trusted)) if on]
    flags += ["--throughput", str(throughput_batch)] if throughput_batch else []
    shape = [str(size) for size in input_shape]
    command = [sys.executable, "-m", "effdl.deploy.benchmark", *map(str, paths), "--shape", *shape]
    command += ["--threads", str(threads), "--batch", str(batch), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return _Timed(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RunError(f"{paths[0]} could not be timed: {last}") from error


def _time_files(args: argparse.Namespace) -> _Timed:
    """Time files of one runtime in turns, in this process."""
    suffix = args.files[0].suffix
    loaded, name = _RUNTIMES[suffix](args)

    def ready(path: Path, batch: int) -> Callable[[], float]:
        images = np.random.default_rng(0).standard_normal((batch, *args.shape), np.float32)
        return _stopped(loaded(path, images))

    layout = _LAYOUTS.get(suffix, "channels_last" if args.channels_last else "contiguous")
    rounds = take_turns([ready(path, args.batch) for path in args.files])
    rows = [
        latency_row(times, args.threads, args.batch, name(path), "cpu", layout)
        for path, times in zip(args.files, rounds, strict=True)
    ]
    many = throughput_row(ready(args.files[0], args.throughput), args.throughput) if args.throughput else {}
    return _Timed(rows, rounds, many)


_Loaded = Callable[[Path, np.ndarray], Callable[[], object]]  # a function that runs a file once on these images
_Name = Callable[[Path], str]  # what a file is run in


def _onnx_runtime(args: argparse.Namespace) -> tuple[_Loaded, _Name]:
    """How ONNX files are run, and the name of the runtime, with the arithmetic that its kernels used."""
    from effdl.deploy.onnx_runtime import kernels, runtime_that_ran, session, share_threads, takes_pixels

    share_threads(args.threads)

    def loaded(path: Path, images: np.ndarray) -> Callable[[], object]:
        network = session(path, args.threads, shared=True)
        if takes_pixels(network):
            images = np.random.default_rng(0).integers(0, 256, images.shape, np.uint8)
        feed = {network.get_inputs()[0].name: images}
        return lambda: network.run(None, feed)

    return loaded, lambda path: runtime_that_ran(kernels(path, args.shape, shared=True))


def _eager(args: argparse.Namespace) -> tuple[_Loaded, _Name]:
    """How stored models are run in eager PyTorch."""
    torch = _torch(args.threads)
    from effdl.models.stored import load_model

    layout = torch.channels_last if args.channels_last else torch.contiguous_format

    def loaded(path: Path, images: np.ndarray) -> Callable[[], object]:
        model = load_model(path, trusted=args.trust).to(memory_format=layout)
        x = torch.from_numpy(images).to(next(model.parameters()).dtype)
        return lambda: model(x)

    return loaded, lambda path: "pytorch-eager"


def _exported_program(args: argparse.Namespace) -> tuple[_Loaded, _Name]:
    """How ``torch.export`` programs are run."""
    torch = _torch(args.threads)
    from effdl.deploy.torch_export import load

    def loaded(path: Path, images: np.ndarray) -> Callable[[], object]:
        program, x = load(path), torch.from_numpy(images)
        return lambda: program(x)

    return loaded, lambda path: f"torch.export {torch.__version__}"


def _executorch_program(args: argparse.Namespace) -> tuple[_Loaded, _Name]:
    """How ExecuTorch programs are run."""
    torch = _torch(args.threads)
    from effdl.deploy.executorch import load, runtime_name

    def loaded(path: Path, images: np.ndarray) -> Callable[[], object]:
        forward, x = load(path, args.threads), torch.from_numpy(images)
        return lambda: forward(x)

    return loaded, lambda path: runtime_name()


def _torch(threads: int):
    """The module torch, without gradients and with this number of threads."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return torch


_RUNTIMES = {
    ".safetensors": _eager,
    ".onnx": _onnx_runtime,
    ".pt2": _exported_program,
    ".pte": _executorch_program,
}


def _stopped(run: Callable[[], object]) -> Callable[[], float]:
    """A function that calls `run` and returns the seconds that it took."""

    def timed_run() -> float:
        start = perf_counter()
        run()
        return perf_counter() - start

    return timed_run


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of the process."""
    parser = argparse.ArgumentParser(prog="python -m effdl.deploy.benchmark")
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--shape", type=int, nargs=3, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--throughput", type=int)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--trust", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(_time_files(parse(sys.argv[1:]))._asdict()))
