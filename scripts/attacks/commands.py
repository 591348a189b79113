"""effdl's commands as functions for the sandbox, with what makes them fast and repeatable."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from types import SimpleNamespace

from attacks.sandbox import Act, Note

COMMON = ("epochs=1", "dataset.subset=200", "energy.enabled=false", "device.threads=1")
BASE = ("model=mlp", "model.hidden=[8]", *COMMON)
ACCEPTED = "accepted"  # what a stopped run notes down, with its config


def warm() -> None:
    """Import what commands import, so that children need not, and stay a process of one thread."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_DISABLE_TELEMETRY": "1"}
    os.environ |= {"MPLBACKEND": "Agg", "COLUMNS": "120"}
    import torch
    from hydra.core.plugins import Plugins

    torch.set_num_threads(1)
    Plugins.instance()  # before effdl's sweepers are imported
    import effdl
    from effdl.utils.errors import UserError

    for module in walk_packages(effdl.__path__, "effdl."):
        if not module.name.endswith("__main__"):
            try:
                import_module(module.name)
            except (ImportError, UserError):  # an optional library is missing
                continue
    for name in ("matplotlib.pyplot", "torch._dynamo", "torch.export"):
        import_module(name)
    from effdl.config.compose import composed, settings
    from effdl.config.validation import check_targets
    from effdl.runs.prepare import prepare_run

    plain = settings(composed([*BASE, "prune=0.5", "quantize=4"], None))  # what parsers and libraries keep from then on
    check_targets(plain)
    prepare_run(plain)


def effdl(*arguments: str, prepare: Callable[[Note], None] | None = None) -> Act:
    """A command as `main` runs it; `prepare` is called before it, in its process."""

    def act(note: Note) -> int:
        from effdl.cli.main import main

        if prepare:
            prepare(note)
        sys.argv = ["effdl", *arguments]
        return main(list(arguments))

    return act


def stopped(note: Note) -> None:
    """Let a run end at the moment it begins, and note down its config: what it asked for was accepted."""
    from effdl.runs import execute
    from effdl.runs.folder import STOPPED, Outcome

    def begin(prepared, folder, meter, callbacks=()) -> Outcome:
        note([ACCEPTED, prepared.config])
        return Outcome(STOPPED, ACCEPTED)

    execute.execute = begin
    hurried(note)


def hurried(note: Note) -> None:
    """Time nothing: every latency is a millisecond, so that commands are fast and their output is the same again."""
    from effdl.deploy import export
    from effdl.measure import timing

    def repeat(run, at_least: int, at_most: int, budget_s: float) -> list[float]:
        run()
        return [0.001] * at_least

    def timed(paths, input_shape, *, threads: int, batch: int = 1, **more) -> SimpleNamespace:
        rounds = [[[0.001]] * timing.MIN_ROUNDS for _ in paths]
        rows = [timing.latency_row(each, threads, batch, "none", "cpu", None) for each in rounds]
        return SimpleNamespace(rows=rows, rounds=rounds, throughput={})

    timing.repeat, export.timed = repeat, timed
