"""The copies of config folders that a sweep was launched with: what code they name, and whether that may be run."""

from pathlib import Path

import yaml

from effdl.utils.errors import UserError


def check_frozen(copies: list[Path], folders: list[Path]) -> None:
    """Refuse copies that name other code than the folders of today; they lie where anybody may have put them.

    Args:
        copies: of the user's folder, if there is one, and of the shipped one.
        folders: these folders today.

    Raises:
        UserError: names the file.
    """
    today = dict(zip(reversed(range(len(copies))), reversed(folders), strict=False))
    for number, copy in enumerate(copies):
        if not copy.is_dir():
            raise UserError(f"{copy}: the sweep's copy of its config files is missing")
        for file in sorted(path for pattern in ("*.yaml", "*.py") for path in copy.rglob(pattern)):
            now = today.get(number, Path()) / file.relative_to(copy)
            same = number in today and now.is_file() and now.read_bytes() == file.read_bytes()
            if not same and (code := _code(file)) and not (number in today and now.is_file() and code == _code(now)):
                raise UserError(f"{file} names code, and is not what {now} says today (--trust runs it)")


def _code(file: Path) -> list:
    """All that a file has to do with code: a module whole, the targets that are not effdl's, and what is Hydra's."""
    if file.suffix == ".py":
        return [file.read_bytes()]
    try:
        content = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error}") from error
    if "hydra" in file.parts[-3:-1]:
        return [content]
    own = content if isinstance(content, dict) else {}
    hydra = own.get("hydra")
    part = {key: value for key, value in hydra.items() if key != "help"} if isinstance(hydra, dict) else hydra
    defaults = [entry for entry in own.get("defaults") or [] if "hydra" in str(entry)]
    return [*([part] if part else []), *defaults, *_targets(content)]


def _targets(node: object) -> list[str]:
    """Values of ``_target_`` at any depth that are not of this package."""
    if isinstance(node, list):
        return [found for item in node for found in _targets(item)]
    if not isinstance(node, dict):
        return []
    own = [str(node["_target_"])] if not str(node.get("_target_", "effdl.")).startswith("effdl.") else []
    return own + [found for value in node.values() for found in _targets(value)]
