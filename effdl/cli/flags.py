"""The flags of ``effdl train``, which are Hydra's: read by its parser, and refused where they would mislead."""

from argparse import Namespace

from hydra._internal.utils import get_args_parser

from effdl.cli.arguments import check_spelling, flags_of
from effdl.config.overrides import readable, value_of
from effdl.utils.errors import UserError

_HELP = "flags: `effdl train --help` and --hydra-help"
_ONE_OF = ("run", "multirun", "cfg", "info")  # what is to be done: one of these
_NEVER = {  # flags of Hydra that effdl does not have
    "experimental_rerun": "it would unpickle a file, which can run anything (allowed: resume=FOLDER)",
    "config_path": "the configs are effdl's own (allowed: --config-dir DIR, for yours besides)",
    "config_name": "the config is effdl's own (allowed: experiment=NAME, a file in the folder of --config-dir)",
}


def parse_arguments(arguments: list[str]) -> tuple[list[str], Namespace]:
    """Hydra's flags among the arguments, and all arguments by name.

    Raises:
        UserError: a flag that is none, or that does not go with the others.
    """
    parser = get_args_parser()
    parser.error = _refuse
    parser.add_argument("--trust", action="store_true", help="resume: run code that the folder names")
    check_spelling(arguments, parser, _HELP)
    args = parser.parse_intermixed_args(arguments)
    flags = [flag for flag in flags_of(arguments, args) if flag != "--trust"]  # which Hydra does not know
    args.overrides = readable(args.overrides)
    _check(args)
    return flags, args


def _refuse(message: str) -> None:
    """What the parser of flags does with a mistake."""
    raise UserError(f"train: {message} ({_HELP})")


def _check(args: Namespace) -> None:
    """Refuse flags that contradict each other, have no effect, or do what effdl does not.

    Raises:
        UserError: one does.
    """
    for name, reason in _NEVER.items():
        if (value := getattr(args, name)) is not None:
            raise UserError(f"--{name.replace('_', '-')} {value}: {reason}")
    chosen = [f"--{name}" for name in _ONE_OF if getattr(args, name)]
    if len(chosen) > 1:
        raise UserError(f"{' '.join(chosen)}: allowed is one of --{', --'.join(_ONE_OF)}")
    if args.resolve and not (args.cfg or args.help):
        raise UserError("--resolve: allowed with --cfg or --help only")
    if args.package is not None and not args.cfg:
        raise UserError(f"--package {args.package} (-p): allowed with --cfg only")
    if args.config_dir == "":
        raise UserError("--config-dir '': allowed is a folder of your own configs")
    if (mode := value_of(args.overrides, "hydra.mode")) is not None:
        raise UserError(f"hydra.mode={mode}: what to do is said by flags (allowed: -m for a sweep, none for a run)")
