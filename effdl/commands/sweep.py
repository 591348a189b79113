"""``effdl train -m``: several runs."""

from argparse import Namespace

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from effdl.commands.compose import composed, settings, variations
from effdl.commands.launch import call_hydra, energy_meter, resume_path
from effdl.config import check_targets
from effdl.errors import UserError
from effdl.results import DONE, RunFolder


def sweep(flags: list[str], args: Namespace, console: Console) -> int:
    """Several runs, one after the other; one that fails is reported and the others go on."""
    refuse_resume(args.overrides)
    first, *others = [settings(composed(overrides, args.config_dir)) for overrides in variations(args.overrides)]
    energy_meter(first)
    for plain in (first, *others):
        check_targets(plain)
    from effdl.prepare import prepare
    from effdl.run import carry_out

    prepare(first)
    codes = []

    def job(config: DictConfig) -> None:
        folder = RunFolder(HydraConfig.get().runtime.output_dir)
        try:
            plain = settings(config)
            check_targets(plain)
            folder.check_free(plain, bool(plain["resume"]))
            if folder.run.get("status") == DONE:
                console.print(f"{folder.path} is complete", highlight=False)
                return
            prepared = prepare(plain)
            folder.check_data(prepared.data.fingerprint)
            codes.append(carry_out(prepared, folder, energy_meter(plain), console))
        except UserError as error:
            console.print(f"effdl: {error}", style="red", highlight=False)
            codes.append(2)

    failed = call_hydra(flags, args.overrides, job)
    return max([failed, *codes])


def refuse_resume(overrides: list[str]) -> None:
    """A sweep resumes in its own folder, which must be named.

    Raises:
        UserError: it is not, or a single run's folder is named.
    """
    if folder := resume_path(overrides):
        raise UserError(f"resume={folder} names one run: with -m, allowed is resume=true with hydra.sweep.dir=FOLDER")
    wants = any(override.lower() == "resume=true" for override in overrides)
    if wants and not any(override.startswith("hydra.sweep.dir") for override in overrides):
        raise UserError("resume=true with -m needs the folder of the sweep: add hydra.sweep.dir=FOLDER")
