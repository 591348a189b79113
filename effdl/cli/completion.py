"""Tab completion: of commands, run folders and the values of knobs here, of groups and keys by Hydra."""

import os
import re
from itertools import islice
from pathlib import Path
from typing import get_type_hints

from effdl.config.options import config_folder, option_files
from effdl.utils.errors import UserError

_FLAGS = ("-sc", "--shell-completion")
_SHELLS = ("bash", "fish", "zsh")
_ON_FOLDERS = ("evaluate", "export", "predict", "sensitivity", "report", "card", "clean", "push")
_COMPOSING = ("train", "preview", "probe")  # commands that take overrides of a run's config
_FOLDER_KEYS = ("resume", "distill", "model.weights", "teacher.weights")  # of which a run folder is a value
_MOST_FOLDERS = 200
_EXAMPLES = {"prune": ("0.5", "0.9", "2:4"), "factorize": ("0.5",)}  # where all values cannot be listed
_ZSH = """\
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_effdl() {
  local -a found
  found=(${=$(COMP_LINE="${(j: :)words[1,CURRENT]}" effdl -sc query=zsh 2>/dev/null)})
  if (( $#found )); then
    compadd -S '' -- $found
  else
    compset -P '*='
    _files
  fi
}
compdef _effdl effdl"""
_NO_ZSH = "compdef -d effdl\nunfunction _effdl"


def main(arguments: list[str], commands: list[str]) -> int:
    """Print the completion script (``install=bash``) or the completions of ``$COMP_LINE`` (``query=bash``).

    Raises:
        UserError: it is not said which of them, or for which shell.
    """
    asked = [argument for argument in arguments if argument not in _FLAGS]
    if len(asked) != 1 or not re.fullmatch(f"(install|uninstall|query)=({'|'.join(_SHELLS)})", asked[0]):
        allowed = f"allowed is install=SHELL, uninstall=SHELL or query=SHELL, with one of {', '.join(_SHELLS)}"
        raise UserError(f"{' '.join(['--shell-completion', *asked])}: {allowed}")
    if asked[0] in ("install=zsh", "uninstall=zsh"):
        print(_ZSH if asked[0] == "install=zsh" else _NO_ZSH)
        return 0
    if asked[0].startswith("query="):
        words = os.environ.get("COMP_LINE", "").split(" ")
        typed = [word for word in words[1:-1] if word and not word.startswith("-")]
        found = list(commands) if not typed else _found(typed[0], words[-1])
        if found is not None:
            fitting = [text for text in found if text.startswith(words[-1])]
            print(("\n" if asked[0] == "query=fish" else " ").join(fitting))
            return 0
        words.remove(typed[0])
        os.environ["COMP_LINE"] = " ".join(words)
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    from effdl.config.hydra_app import call_hydra

    return call_hydra(arguments, [])


def _found(command: str, word: str) -> list[str] | None:
    """What may stand in place of a word behind a command; None if Hydra knows."""
    if command == "list":
        from effdl.cli.list import listed

        return listed()
    if command == "reproduce":
        return list(option_files("experiment", config_folder()))
    if command in _ON_FOLDERS:
        return _run_folders(word)
    key, equals, value = word.partition("=")
    if command == "probe" and not equals and (folders := _run_folders(word)):
        return folders
    if command not in _COMPOSING or not equals:
        return None if command in _COMPOSING else []
    folders = _run_folders(value) if key in _FOLDER_KEYS else []
    return [f"{key}={text}" for text in [*_values(key), *folders]] or None


def _run_folders(prefix: str) -> list[str]:
    """Folders with a run whose paths begin so: up to three levels below the last folder that is named."""
    start = prefix.rpartition("/")[0] + "/" if "/" in prefix else ""
    root = Path(os.path.expanduser(start) or ".")
    files = (file for depth in range(4) for file in root.glob("*/" * depth + "run.json"))
    paths = (f"{start}{file.parent.relative_to(root).as_posix()}".removesuffix("/.") for file in files)
    return sorted(islice((path for path in paths if path.startswith(prefix)), _MOST_FOLDERS))


def _values(key: str) -> list[str]:
    """The values of a key of a run or of its device, as far as they can be listed."""
    from effdl.config.annotations import choices
    from effdl.config.schema import TEACHERS, DeviceSettings, Settings

    of = DeviceSettings if key.startswith("device.") else Settings
    hints = get_type_hints(of, include_extras=True)
    found = choices(hints[name]) if (name := key.removeprefix("device.")) in hints else []
    return [*_EXAMPLES.get(key, ()), *(TEACHERS if key == "distill" else ()), *found]
