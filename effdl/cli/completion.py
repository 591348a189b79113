"""Tab completion: Hydra's own, with the name of the command taken out of the line."""

import os
import re

from effdl.utils.errors import UserError

_FLAGS = ("-sc", "--shell-completion")
_SHELLS = ("bash", "fish", "zsh")


def main(arguments: list[str], commands: list[str]) -> int:
    """Print the completion script (``install=bash``) or the completions of ``$COMP_LINE`` (``query=bash``).

    Raises:
        UserError: it is not said which of them, or for which shell.
    """
    asked = [argument for argument in arguments if argument not in _FLAGS]
    if len(asked) != 1 or not re.fullmatch(f"(install|uninstall|query)=({'|'.join(_SHELLS)})", asked[0]):
        allowed = f"allowed is install=SHELL, uninstall=SHELL or query=SHELL, with one of {', '.join(_SHELLS)}"
        raise UserError(f"{' '.join(['--shell-completion', *asked])}: {allowed}")
    line = os.environ.get("COMP_LINE", "")
    if asked[0].startswith("query="):
        words = line.split(" ")
        typed = [word for word in words[1:-1] if word and not word.startswith("-")]
        if not typed:
            print(" ".join(command for command in commands if command.startswith(words[-1])))
            return 0
        if typed[0] != "train":
            return 0  # folders and files: the shell's own completion
        words.remove("train")
        os.environ["COMP_LINE"] = " ".join(words)
        os.environ["COMP_POINT"] = str(len(os.environ["COMP_LINE"]))
    from effdl.config.hydra_app import call_hydra

    return call_hydra(arguments, [], lambda config: None)
