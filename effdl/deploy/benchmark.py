"""``python -m effdl.deploy.benchmark FILE --shape C H W``: time one model file in this process and print JSON.

Every model is timed in a separate process: the thread pools of PyTorch and ONNX Runtime spin while they wait, and two
of them in one process slow each other down several times. PyTorch is therefore imported only where it is needed.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from effdl.measure.timing import latency_row, repeat
from effdl.utils.errors import RunError

_WARM_UP_S, _BUDGET_S, MIN_RUNS, _MAX_RUNS = 0.2, 1.0, 5, 2000


def timed(
    path: str | Path,
    input_shape: tuple[int, int, int],
    *,
    threads: int,
    batch: int = 1,
    channels_last: bool = False,
    trusted: bool = False,
) -> dict:
    """Time a model file in a separate process; keys and units as for `effdl.measure.latency.latency`.

    Args:
        path: ``.safetensors`` (a stored model, in eager PyTorch), ``.onnx``, ``.pt2`` or ``.pte``.
        input_shape: shape (C, H, W) of an image.
        threads: number of CPU threads.
        batch: number of images per inference.
        channels_last: whether the memory layout is channels-last; for stored models only.
        trusted: also build a stored model whose code is not part of effdl.

    Raises:
        RunError: the process failed.
    """
    flags = [flag for flag, on in (("--channels-last", channels_last), ("--trust", trusted)) if on]
    shape = [str(size) for size in input_shape]
    command = [sys.executable, "-m", "effdl.deploy.benchmark", str(path), "--shape", *shape]
    command += ["--threads", str(threads), "--batch", str(batch), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RunError(f"{path} could not be timed: {last}") from error


def _time_file(args: argparse.Namespace) -> dict:
    """The latency of a file in its runtime, in this process."""
    if args.file.suffix == ".safetensors":
        return _time_eager(args)
    images = np.random.default_rng(0).standard_normal((args.batch, *args.shape), np.float32)
    run, runtime = _RUNTIMES[args.file.suffix](args.file, images, args.threads)
    repeat(run, at_least=1, at_most=_MAX_RUNS, budget_s=_WARM_UP_S)
    times = repeat(lambda: seconds(run), at_least=MIN_RUNS, at_most=_MAX_RUNS, budget_s=_BUDGET_S)
    return latency_row(times, args.threads, args.batch, runtime)


def _time_eager(args: argparse.Namespace) -> dict:
    """The latency of a stored model in eager PyTorch, on the CPU."""
    import torch

    from effdl.measure.latency import latency
    from effdl.models.stored import load_model

    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = load_model(args.file, trusted=args.trust).to(memory_format=layout)
    settings = {"warmup_s": _WARM_UP_S, "budget_s": _BUDGET_S, "min_runs": MIN_RUNS, "max_runs": _MAX_RUNS}
    return latency(model, args.shape, device="cpu", batch=args.batch, threads=args.threads, **settings)


def _onnx_runtime(path: Path, images: np.ndarray, threads: int) -> tuple[Callable[[], object], str]:
    """A function that runs one inference of an ONNX file, and the name of the runtime."""
    from effdl.deploy.onnx_runtime import runtime_name, session

    loaded = session(path, threads)
    feed = {loaded.get_inputs()[0].name: images}
    return lambda: loaded.run(None, feed), runtime_name()


def _exported_program(path: Path, images: np.ndarray, threads: int) -> tuple[Callable[[], object], str]:
    """A function that runs one inference of a ``torch.export`` program, and the name of the runtime."""
    import torch

    from effdl.deploy.torch_export import load

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    program, x = load(path), torch.from_numpy(images)
    return lambda: program(x), f"torch.export {torch.__version__}"


def _executorch_program(path: Path, images: np.ndarray, threads: int) -> tuple[Callable[[], object], str]:
    """A function that runs one inference of an ExecuTorch program, and the name of the runtime."""
    import torch

    from effdl.deploy.executorch import load, runtime_name

    forward, x = load(path, threads), torch.from_numpy(images)
    return lambda: forward(x), runtime_name()


_RUNTIMES = {".onnx": _onnx_runtime, ".pt2": _exported_program, ".pte": _executorch_program}


def seconds(run: Callable[[], object]) -> float:
    """The duration of a call in seconds."""
    start = perf_counter()
    run()
    return perf_counter() - start


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the arguments of the process."""
    parser = argparse.ArgumentParser(prog="python -m effdl.deploy.benchmark")
    parser.add_argument("file", type=Path)
    parser.add_argument("--shape", type=int, nargs=3, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--trust", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    print(json.dumps(_time_file(parse(sys.argv[1:]))))
