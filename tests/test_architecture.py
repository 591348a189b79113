"""Imports go one way, and starting up costs little: read from the imports of every module."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import effdl

PACKAGE = Path(effdl.__file__).parent
MODULES = {
    ".".join(("effdl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


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
    return found


def reached(name):
    """Modules of the package that importing a module imports in turn."""
    seen, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += [other for other in imports(current, top_level=True) if other in MODULES]
    return seen


def part(name):
    """The layer of a module: its folder, or itself."""
    return name.split(".")[1] if "." in name else ""


def test_the_modules_were_found():
    assert {"effdl.cli", "effdl.models.resnet", "effdl.compression.mask"} <= set(MODULES)
    assert "torch" in imports("effdl.train")
    assert "effdl.artifact" in imports("effdl.work")
    assert "effdl.files" in reached("effdl.checkpoint")


@pytest.mark.parametrize("library", ["hydra", "omegaconf"])
def test_hydra_stays_in_the_command_line(library):
    users = {name for name in MODULES if library in {other.split(".")[0] for other in imports(name)}}
    ours = (
        "train",
        "sweep",
        "jobs",
        "grid_sweeper",
        "sweep_loader",
        "optuna_sweeper",
        "launch",
        "compose",
        "completion",
        "experiments",
    )
    assert users <= {f"effdl.commands.{name}" for name in ours}


def test_results_needs_the_standard_library_only():
    others = {name.split(".")[0] for name in imports("effdl.results")} - set(sys.stdlib_module_names)
    assert others == {"effdl"}
    assert {name for name in imports("effdl.results") if name.startswith("effdl")} == {
        "effdl.errors",
        "effdl.files",
        "effdl.processes",
    }


@pytest.mark.parametrize(
    "name",
    [
        "cli",
        "errors",
        "types",
        "files",
        "processes",
        "results",
        "annotations",
        "config",
        "logs",
        "report.table",
        "report.progress",
    ]
    + [f"commands.{path.stem}" for path in (PACKAGE / "commands").glob("*.py") if path.stem != "__init__"],
)
def test_what_needs_no_torch_imports_none(name):
    for module in reached(f"effdl.{name}"):
        libraries = {other.split(".")[0] for other in imports(module, top_level=True)}
        assert not libraries & {"torch", "torchvision", "timm", "codecarbon", "matplotlib"}, module


@pytest.mark.parametrize(
    ("layer", "forbidden"),
    [
        ("data", {"models", "measure", "compression", "train", "run", "commands", "cli", "report"}),
        ("models", {"data", "measure", "compression", "train", "run", "commands", "cli", "report"}),
        ("measure", {"compression", "train", "work", "run", "prepare", "commands", "cli", "report", "deploy"}),
        ("compression", {"measure", "train", "work", "run", "prepare", "commands", "cli", "report", "deploy"}),
        ("deploy", {"compression", "train", "work", "run", "prepare", "commands", "cli"}),
        ("report", {"compression", "train", "work", "run", "prepare", "commands", "cli", "deploy"}),
        ("train", {"compression", "work", "run", "commands", "cli", "prepare", "deploy"}),
        ("evaluate", {"compression", "train", "work", "run", "commands", "cli", "prepare", "report"}),
        ("work", {"run", "commands", "cli"}),
        ("run", {"commands", "cli"}),
        ("config", {"data", "models", "measure", "compression", "train", "run", "commands", "cli", "report"}),
        ("artifact", {"data", "models", "measure", "compression", "train", "run", "commands", "cli", "report"}),
    ],
)
def test_imports_go_one_way(layer, forbidden):
    for name in MODULES:
        if part(name) == layer:
            wrong = {other for other in imports(name) if other in MODULES and part(other) in forbidden}
            assert not wrong, name


def test_no_module_imports_itself_through_others():
    for name in MODULES:
        for other in imports(name, top_level=True):
            if other in MODULES and other != name:
                assert name not in reached(other), f"{name} and {other}"


def test_models_stand_alone():
    """A family can be taken away without touching another one."""
    shared = {
        "blocks",
        "scaling",
        "surgery",
        "weights",
        "build",
        "names",
        "structure",
        "activation_quantizer",
        "variants",
    }
    for name in MODULES:
        if part(name) == "models" and name.rpartition(".")[2] not in shared:
            others = {other.rpartition(".")[2] for other in imports(name) if part(other) == "models"} - {"models"}
            assert others <= shared, name


def test_families_of_methods_stand_alone():
    """Pruning knows nothing of quantization, and so on; what they share is beside them."""
    for name in MODULES:
        if part(name) == "compression" and name.count(".") == 3:
            families = {other.split(".")[2] for other in imports(name) if part(other) == "compression"}
            assert families <= {name.split(".")[2], "mask", "permanent", "order"}, name


def test_loggers_stand_alone():
    """A logger sees rows and a folder; nothing of the run that makes them, and no other logger."""
    for name in MODULES:
        if part(name) == "loggers":
            ours = {other for other in imports(name) if other in MODULES}
            assert ours <= {"effdl.errors", "effdl.types", "effdl.files", "effdl.loggers.scalars"}, name


@pytest.mark.parametrize("module", ["loggers.tensorboard", "loggers.mlflow", "loggers.wandb", "optimization"])
def test_what_needs_an_optional_library_is_imported_only_when_it_is_chosen(module):
    assert [name for name in MODULES if f"effdl.{module}" in reached(name)] == [f"effdl.{module}"]


def run(*arguments):
    """Run a command in a process of its own; its exit code and the libraries it imported."""
    code = (
        "import json, sys; from effdl.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "print(json.dumps([code, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stdout.splitlines()[-1])
    return status, set(modules)


HEAVY = {"torch", "torchvision", "codecarbon", "matplotlib", "timm", "numpy"}


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
