"""Tab completion: Hydra's own, with the name of the command taken out of the line."""

import os


def main(arguments: list[str], commands: list[str]) -> int:
    """Print the completion script (``install=bash``) or the completions of ``$COMP_LINE`` (``query=bash``)."""
    line = os.environ.get("COMP_LINE", "")
    if any(argument.startswith("query=") for argument in arguments):
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
