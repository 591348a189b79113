"""The house: rooms of which each imports only from those below it, and a start that costs little.

Read from the imports of every module, those inside functions and for type checkers too.
"""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import effdl

PACKAGE = Path(effdl.__file__).parent
MODULES = {
    ".".join(("effdl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
ROOMS = (  # from the roof to the cellar
    "cli",
    "search",
    "sweep",
    "report",
    "runs",
    "compression",
    "pretraining",
    "training",
    "deploy",
    "measure",
    "models",
    "data",
    "nn",
    "config",
    "utils",
)
DOORS = {"effdl", "effdl.__main__"}  # the package's face and `python -m effdl`: they open any room


@cache
def imports(name, *, top_level=False):
    """Full names of the modules that a module imports; `top_level`: those imported whenever the module is."""
    tree = ast.parse(MODULES[name].read_text())
    nodes = tree.body if top_level else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {full if full in MODULES else node.module for full in names}
    return frozenset(found)


@cache
def reached(name, *, top_level=True):
    """Modules of the package that importing a module imports in turn, or with `top_level` False may ever import."""
    seen, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += [other for other in imports(current, top_level=top_level) if other in MODULES]
    return frozenset(seen)


def room(name):
    """The room of a module: its folder below effdl/."""
    return name.split(".")[1] if "." in name else ""


def test_the_modules_were_found():
    assert {"effdl.cli.main", "effdl.models.resnet", "effdl.nn.mask"} <= set(MODULES)
    assert "torch" in imports("effdl.training.loop")
    assert "effdl.models.storage" in imports("effdl.runs.runner")
    assert "effdl.utils.files" in reached("effdl.training.checkpoint")


def test_every_module_has_a_room():
    assert {room(name) for name in MODULES} - {"", "__main__"} == set(ROOMS)
    assert sorted(path.name for path in PACKAGE.iterdir() if path.is_file()) == [
        "__init__.py",
        "__main__.py",
        "py.typed",
    ]


def test_no_room_imports_from_one_above_it():
    wrong = [
        f"{name} imports {other}"
        for name in MODULES.keys() - DOORS
        for other in imports(name)
        if other in MODULES and (other in DOORS - {"effdl"} or ROOMS.index(room(name)) > index_of(other))
    ]
    assert not wrong


def index_of(name):
    """The floor of a module's room; the package itself, which holds the version, is below all."""
    return len(ROOMS) if name == "effdl" else ROOMS.index(room(name))


def test_there_are_no_circles():
    """Not even by imports inside functions."""
    circles = [
        f"{name} and {other}"
        for name in MODULES.keys() - DOORS
        for other in imports(name)
        if other in MODULES and other not in (name, "effdl") and name in reached(other, top_level=False)
    ]
    assert not circles


def names_of(tree):
    """Functions, classes and constants of a module; those of one assignment together."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield {node.name}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def test_what_docstrings_refer_to_is_there():
    """A name in single backticks that begins with the package's is a module or something in one."""
    mentions = {
        (name, reference)
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        for reference in re.findall(r"(?<!`)`(effdl(?:\.\w+)+)`(?!`)", ast.get_docstring(node) or "")
    }
    assert len(mentions) > 10
    missing = []
    for name, reference in mentions:
        module, _, attribute = reference.rpartition(".")
        known = set().union(*names_of(ast.parse(MODULES[module].read_text()))) if module in MODULES else set()
        if not (reference in MODULES or attribute in known | set(effdl.__all__)):
            missing.append(f"{name}: {reference}")
    assert not missing


def test_a_leading_underscore_says_what_only_its_file_uses():
    """Everywhere: in code, tests, scripts, configs and pages. What a page or a config names is used by its user."""
    root = PACKAGE.parent
    patterns = ("tests/**/*.py", "scripts/*.py", "configs/**/*.yaml", "effdl/**/*.md", "effdl/**/*.py", "README.md")
    texts = {path: path.read_text() for pattern in patterns for path in root.glob(pattern)}
    words = {path: set(re.findall(r"\w+", text)) for path, text in texts.items()}
    found = []
    for name, path in MODULES.items():
        elsewhere = set().union(*(known for other, known in words.items() if other != path))
        for names in names_of(ast.parse(path.read_text())):
            used = names & elsewhere or names <= {"main", "log", "logger"}
            found += [f"{name}.{one}" for one in names if not (one.startswith("_") or used)]
    assert not found, "only their files use them: begin them with an underscore"
    taken = [
        f"{path.name} imports {alias.name}"
        for path in texts
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(texts[path]))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("effdl")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not taken, "another file uses them: take the underscore away"


@pytest.mark.parametrize("library", ["hydra", "omegaconf"])
def test_hydra_stays_in_the_command_line(library):
    users = {name for name in MODULES if library in {other.split(".")[0] for other in imports(name)}}
    configs = ("overrides", "hydra_app", "compose", "experiments", "restored")
    launching = ("launch", "job", "loader", "grid_sweeper", "optuna_sweeper")
    commands = ("train", "flags", "completion")
    assert users <= {
        *(f"effdl.config.{name}" for name in configs),
        *(f"effdl.sweep.{name}" for name in launching),
        *(f"effdl.cli.{name}" for name in commands),
    }


HEAVY = {"torch", "torchvision", "codecarbon", "matplotlib", "timm", "numpy"}


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ("cli", "config")])
def test_commands_and_configs_need_no_torch(name):
    needs_none(name)


@pytest.mark.parametrize(
    "name",
    [
        *("errors", "files", "clock", "logs", "processes", "distributed", "hardware"),
        *("runs.folder", "report.gather", "report.table", "training.progress", "training.callbacks", "measure.energy"),
    ],
)
def test_what_starts_first_needs_no_torch(name):
    needs_none(name if "." in name else f"utils.{name}", "effdl.")


def needs_none(name, prefix=""):
    for module in reached(prefix + name):
        libraries = {other.split(".")[0] for other in imports(module, top_level=True)}
        assert not libraries & (HEAVY - {"numpy"}), module


def test_models_stand_alone():
    """A family can be taken away without touching another one."""
    families = {path.stem for path in PACKAGE.joinpath("models").glob("*.py")} - {
        *(
            "blocks",
            "scaling",
            "surgery",
            "adapt",
            "weights",
            "matching",
            "renaming",
            "padded",
            "torch_file",
            "build",
            "names",
            "structure",
            "stored",
            "variants",
            "module_types",
            "outline",
            "__init__",
        )
    }
    for name in families:
        others = {other.rpartition(".")[2] for other in imports(f"effdl.models.{name}") if room(other) == "models"}
        assert not others & families, name


def test_families_of_methods_stand_alone():
    """Pruning knows nothing of quantization, and so on; what they share is beside them."""
    for name in MODULES:
        if room(name) == "compression" and name.count(".") >= 3:
            families = {other.split(".")[2] for other in imports(name) if room(other) == "compression"}
            assert families <= {name.split(".")[2], "method"}, name


def test_loggers_stand_alone():
    """A logger sees rows and a folder; nothing of the run that makes them, and no other logger."""
    for name in MODULES:
        if name.startswith("effdl.training.loggers."):
            ours = {other for other in imports(name) if other in MODULES}
            assert ours <= {"effdl.utils.errors", "effdl.config.identity", "effdl.training.loggers.scalars"}, name


@pytest.mark.parametrize(
    "module",
    [*(f"training.loggers.{name}" for name in ("tensorboard", "mlflow", "wandb")), "sweep.optuna_study"],
)
def test_what_needs_an_optional_library_is_imported_only_when_it_is_chosen(module):
    assert [name for name in MODULES if f"effdl.{module}" in reached(name)] == [f"effdl.{module}"]


def run(*arguments):
    """Run a command in a process of its own; its exit code and the libraries it imported."""
    code = (
        "import json, sys; from effdl.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stdout.splitlines()[-1])
    return status, set(modules)


@pytest.mark.parametrize(
    ("arguments", "status", "unwanted"),
    [
        (["--help"], 0, {*HEAVY, "hydra", "omegaconf", "rich", "pydantic"}),
        (["--version"], 0, {*HEAVY, "hydra", "omegaconf", "rich", "pydantic"}),
        (["trian"], 2, {*HEAVY, "hydra", "omegaconf", "rich", "pydantic"}),
        (["list", "models"], 0, {*HEAVY, "hydra", "omegaconf"}),
        (["train", "epochs=-1"], 2, HEAVY),
        (["train", "model=resnt"], 2, HEAVY),
    ],
)
def test_a_command_imports_no_more_than_it_needs(arguments, status, unwanted):
    code, modules = run(*arguments)
    assert code == status
    assert not modules & unwanted
