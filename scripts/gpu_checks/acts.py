"""What the checks do on a GPU; each returns a note, or raises `Failed` or `Skipped`."""

import json
import re
import sys
import time
from pathlib import Path

from gpu_checks.shell import ROOT, Failed, Shell, last_line

TIMED = ("resnet20_bf16", "resnet20_fp32", "resnet18_bf16", "inference")  # of time_gpu.py
_SCRIPTS = ROOT / "scripts"
_STARTED_EPOCHS = 3  # before a run is killed
_FRACTION = 0.001  # of the card's memory, for a run that shall not have enough
_FACTS = """
import json, sys, torch
d = sys.argv[1]; on = d == "cuda" and torch.cuda.is_available()
facts = {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": torch.version.cuda, "card": None}
if on:
    import subprocess
    facts |= {"card": torch.cuda.get_device_name(), "memory_bytes": torch.cuda.mem_get_info()[1]}
    facts["cudnn"] = torch.backends.cudnn.version()
    found = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True)
    facts["driver"] = found.stdout.decode().strip()
torch.ones(64, 64, device=d) @ torch.ones(64, 64, device=d)
print(json.dumps(facts))
"""
_SMALL_CARD = f"""
import runpy, sys, torch
if torch.cuda.is_available():
    torch.cuda.set_per_process_memory_fraction({_FRACTION})
sys.argv = sys.argv[2:]
runpy.run_module("effdl", run_name="__main__", alter_sys=True)
"""
_REDUCED = """
import os, sys, torch
os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
os.environ["MASTER_PORT"] = "29517"
from torch import distributed
from effdl.utils.distributed import gathered, join
join()
x = torch.arange(4.0, device=sys.argv[1])
distributed.all_reduce(x)
assert x.tolist() == [0, 1, 2, 3], x
print(distributed.get_backend_config(), gathered(1))
distributed.destroy_process_group()
"""


def machine(shell: Shell, overrides: tuple[str, ...]) -> str:
    """Card, driver and versions, as JSON; a product on the card."""
    return _python(shell, _FACTS, shell.device)


def marked_tests(shell: Shell, overrides: tuple[str, ...]) -> str:
    """The tests that need a GPU; files of others may need libraries that are not there."""
    files = [str(file) for file in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.cuda" in file.read_text()]
    fixed = ["-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "-m", "cuda"]
    text, code = shell.run([sys.executable, "-m", "pytest", *fixed, *files])
    line = next((line for line in reversed(text.splitlines()) if re.search(r"passed|failed|error|skipped", line)), "")
    if code:
        raise Failed(f"exit {code}: {line}")
    return line


def trained(shell: Shell, overrides: tuple[str, ...], before: tuple[str, ...] = ()) -> str:
    """A run, and what it measured."""
    return summary(shell.train(*overrides, before=before), shell.device)


def summary(folder: Path, device: str) -> str:
    """The figures of the last stage of a run.

    Raises:
        Failed: one of them cannot be: an energy of the GPU that is a measured 0, no peak memory, no latency.
    """
    result = json.loads((folder / "result.json").read_text())
    last, gpu = result["stages"][-1], result["total"]["source"]["gpu"]
    if not last["latency_ms"] and not last["latency_note"]:
        raise Failed("no latency and no note on it")
    if device == "cuda":
        used = sum(stage["gpu_kwh"] or 0 for stage in result["stages"])
        if gpu not in ("measured", "unavailable") or (gpu == "measured" and not used > 0):
            raise Failed(f"the energy of the GPU is {gpu}: {used} kWh")
        if not last["epochs"] == 0 and not last["memory_peak_bytes"]:
            raise Failed("no peak memory")
    latency = "no latency" if last["latency_ms"] is None else f"{last['latency_ms']:.3f} ms"
    peak = "" if not last["memory_peak_bytes"] else f", {last['memory_peak_bytes'] / 1e6:.0f} MB"
    return f"{last['stage']} top-1 {last['top1']:.4f}, {latency}{peak}, gpu {gpu}"


def twice(shell: Shell, overrides: tuple[str, ...]) -> str:
    """Two runs of one config give the same weights, bit for bit."""
    first, second = (shell.train(*overrides, run=name) for name in ("first", "second"))
    return f"{_same_weights(first, second)}; {summary(first, shell.device)}"


def resumed(shell: Shell, overrides: tuple[str, ...]) -> str:
    """A run that was killed and resumed gives the weights of one that was not."""
    undisturbed = shell.train(*overrides, run="undisturbed")
    command = [sys.executable, "-m", "effdl", *shell.training(overrides, "killed")]
    process, began = shell.start(command), time.monotonic()
    rows = shell.folder / "killed" / "epochs.jsonl"
    while process.poll() is None and _lines(rows) < _STARTED_EPOCHS and time.monotonic() - began < shell.timeout:
        time.sleep(0.02)
    ended = process.poll() is not None
    shell.note(command, process, began, shell.kill(process))
    if ended:
        raise Failed("the run ended before it could be killed")
    epochs = _lines(rows)
    again = shell.train(*overrides, "resume=true", run="killed")
    return f"killed after {epochs} epochs: {_same_weights(undisturbed, again)}"


def measured_again(shell: Shell, overrides: tuple[str, ...]) -> str:
    """A stored model has the same accuracy on this device and on the CPU; its features can be probed on both."""
    run, found = shell.train(*overrides), {}
    for device in dict.fromkeys((shell.device, "cpu")):
        text = shell.effdl("evaluate", str(run), "--device", device)
        found[device] = re.findall(r"^(top1 = .*)$", text, re.MULTILINE)
        shell.effdl("probe", str(run), "--device", device)
    if len({tuple(lines) for lines in found.values()}) != 1:
        raise Failed(f"evaluate differs: {found}")
    return f"{', '.join(found)}: {found['cpu'][0]}"


def exported(shell: Shell, overrides: tuple[str, ...]) -> str:
    """A model that was trained on this device is written for ONNX Runtime, with the same answers."""
    shell.effdl("export", str(shell.train(*overrides)))
    return "model.onnx agrees"


def out_of_memory(shell: Shell, overrides: tuple[str, ...]) -> str:
    """A run that is given a small part of the card ends with one line and no traceback."""
    text, code = shell.run([sys.executable, "-c", _SMALL_CARD, "-m", "effdl", *shell.training(overrides)])
    last = last_line(text)
    if shell.device == "cuda" and (not code or "Traceback" in text or "memory" not in text):
        raise Failed(f"exit {code}: {last}")
    return f"exit {code}: {last}"


def reduced(shell: Shell, overrides: tuple[str, ...]) -> str:
    """A sum over a group of one process, by NCCL on a GPU."""
    return _python(shell, _REDUCED, shell.device)


def timed(shell: Shell, overrides: tuple[str, ...], name: str) -> str:
    """One of the timings of time_gpu.py, as JSON."""
    text, code = shell.run([sys.executable, str(_SCRIPTS / "time_gpu.py"), name, "--device", shell.device])
    if code:
        raise Failed(f"exit {code}: {last_line(text)}")
    return last_line(text)


def _python(shell: Shell, code: str, *arguments: str) -> str:
    """The last line that a short program printed; Failed if it did not end well."""
    text, ended = shell.run([sys.executable, "-c", code, *arguments])
    if ended:
        raise Failed(f"exit {ended}: {last_line(text)}")
    return last_line(text)


def _same_weights(first: Path, second: Path) -> str:
    """That two runs stored the same tensors; Failed if not."""
    import torch

    from effdl.models.stored import load_model

    one, other = (load_model(folder / "model.safetensors").state_dict() for folder in (first, second))
    different = [name for name in one if not torch.equal(one[name], other[name])]
    if different:
        largest = max((one[name].double() - other[name].double()).abs().max().item() for name in different)
        raise Failed(f"{len(different)} of {len(one)} tensors differ, by up to {largest:.2g}")
    return "bit-identical weights"


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0
