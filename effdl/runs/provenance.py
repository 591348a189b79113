"""Where a result comes from: versions, source revision, hardware."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = ("effdl", "torch", "torchvision", "hydra-core", "omegaconf", "codecarbon", "safetensors", "numpy")


def provenance(device: torch.device) -> dict:
    """Versions, git revision (None outside a repository), hardware and threads of this process."""
    return {
        "versions": versions(),
        "git": git_revision(Path.cwd()),
        "hardware": {
            "platform": platform.platform(),
            "cpu": cpu_model(),
            "cpu_count": os.cpu_count(),
            "memory_bytes": memory_bytes(),
            "device": str(device),
            "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        },
        "threads": torch.get_num_threads(),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and of the packages that results depend on; torch's names its build."""
    installed = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **installed, "torch": torch.__version__}


def version(package: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision(folder: Path) -> dict | None:
    """Commit of the repository around a folder and whether tracked files differ from it; None if there is none."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """Physical memory, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
