"""Hydra, called by a program: where it looks for configs, what ours may use, and its own part of a command."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError

from effdl.config.annotations import show
from effdl.config.log_settings import check_logging
from effdl.config.option_keys import knobs_text
from effdl.config.options import BASE, config_folder
from effdl.utils.errors import UserError


def matching(value: str | float | None, pattern: str) -> str | float | None:
    """The value, if all of its text matches a regular expression: by this a method takes some values of its knob."""
    return value if value is not None and re.fullmatch(pattern, str(value)) else None


OmegaConf.register_new_resolver("matching", matching, replace=True)
OmegaConf.register_new_resolver("knobs", knobs_text, replace=True)


def _hide_base_files() -> None:
    """Keep the folder of base files out of the groups that ``--help`` and tab completion show."""
    listed = ConfigLoaderImpl.get_group_options

    @wraps(listed)
    def get_group_options(self, group_name: str, *args, **more) -> list[str]:
        found = listed(self, group_name, *args, **more)
        return found if group_name else [name for name in found if name != BASE]

    ConfigLoaderImpl.get_group_options = get_group_options


_hide_base_files()


@contextmanager
def search_path(config_dir: str | None, configs: Path) -> Iterator[Hydra]:
    """Let `compose` find config files and, after them, the user's own, as `hydra.main` will; gives the app."""
    version.setbase("1.3")
    path = create_config_search_path(str(configs))
    if config_dir:
        path.prepend("command-line", f"file://{Path(config_dir).resolve()}", SearchPathQuery(provider="schema"))
    app = Hydra.create_main_hydra2(task_name="train", config_search_path=path)
    try:
        yield app
    finally:
        GlobalHydra.instance().clear()


def register(plugin: type) -> None:
    """Let Hydra use a class of this package as a plugin; by itself it looks for them in `hydra_plugins` only."""
    name, allowed = f"{plugin.__module__}.{plugin.__name__}", Plugins.is_in_toplevel_plugins_module
    if not allowed(name):
        Plugins.is_in_toplevel_plugins_module = staticmethod(lambda other: other == name or allowed(other))
    Plugins.instance().register(plugin)


def check_hydra(config: DictConfig) -> None:
    """Resolve what Hydra reads of its own part of a config once the folder of a run is there.

    Raises:
        UserError: a value that Hydra takes no further.
        OmegaConfBaseException: one that cannot be resolved.
    """
    alone = OmegaConf.masked_copy(config, "hydra")  # as Hydra sees what it puts into the environment
    OmegaConf.to_container(config.hydra.sweeper, resolve=True, throw_on_missing=True)
    OmegaConf.to_container(alone.hydra.job.env_set, resolve=True)
    for name in ("job_logging", "hydra_logging"):
        check_logging(f"hydra.{name}", _resolved(config.hydra[name]))
    verbose = config.hydra.verbose
    _ = config.hydra.output_subdir
    if not isinstance(verbose, bool | str) and not OmegaConf.is_list(verbose):
        raise UserError(f"hydra.verbose={show(verbose)}: allowed is true, false, a logger, or a list of loggers")


def _resolved(part: Any) -> Any:
    """A part of a config as plain values; as it was written if it refers to what only a job knows."""
    if not OmegaConf.is_config(part):
        return part
    try:
        return OmegaConf.to_container(part, resolve=True)
    except InterpolationToMissingValueError:
        return OmegaConf.to_container(part, resolve=False)


@contextmanager
def _errors_as_they_are() -> Iterator[None]:
    """Keep Hydra from printing errors and exiting in the ``with`` block: they are told by `effdl.cli.failures`."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("HYDRA_FULL_ERROR")
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def call_hydra(flags: list[str], overrides: list[str]) -> int:
    """Let Hydra answer ``--help``, ``--cfg`` or ``--info``; returns the exit code.

    Raises:
        Exception: whatever is wrong in what Hydra is given.
    """
    before, sys.argv = sys.argv, ["effdl", *flags, *overrides]
    try:
        with _errors_as_they_are():
            app = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="train")
            app(lambda config: None)()
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def call_job(overrides: list[str], job: Callable, config_dir: str | None) -> None:
    """Let Hydra do its part in one run: its folder, logs, environment and callbacks.

    Hydra's own way to it composes the config twice, the first time to ask for the mode.

    Raises:
        Exception: whatever is wrong in what Hydra is given, or in the job.
    """
    with search_path(config_dir, config_folder()) as app, _errors_as_they_are():
        app.run("train", job, [*overrides, "hydra.mode=RUN"])


def call_sweeper(first: list[str], tasks: list[str], job: Callable, config_dir: str | None, configs: Path) -> int:
    """Let Hydra's sweeper and launcher run the jobs of a sweep; returns the exit code.

    Hydra itself sets them up by a config without the swept values, in which a key may not fit that fits every job
    (``dataset=mnist,cifar10 dataset.root=DIR``). Here it is the first job's.

    Args:
        first: overrides of the first job, Hydra's own with them.
        tasks: those that are not Hydra's, with their swept values.
        configs: the folder to compose from.

    Raises:
        Exception: whatever is wrong in what Hydra is given, or in a job.
    """
    with search_path(config_dir, configs) as app, _errors_as_they_are():
        config = app.compose_config("train", [*first, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN, True)
        config.hydra.overrides.task = tasks
        context = HydraContext(config_loader=app.config_loader, callbacks=Callbacks(config))
        context.callbacks.on_multirun_start(config=config, config_name="train")
        sweeper = Plugins.instance().instantiate_sweeper(config=config, hydra_context=context, task_function=job)
        try:
            sweeper.sweep(arguments=tasks)
        except SystemExit as stop:
            return int(stop.code or 0)
        context.callbacks.on_multirun_end(config=config, config_name="train")
    return 0
