"""The pages: their links lead somewhere, and the commands on them are ones that effdl accepts."""

import argparse
import re
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from effdl.cli.flags import parse_arguments
from effdl.cli.main import COMMANDS, dispatch
from effdl.config.compose import composed, settings
from effdl.config.experiments import config_of, experiment_file
from effdl.config.options import config_folder
from effdl.config.overrides import resume_folder
from effdl.config.restored import restored
from effdl.config.validation import check_targets
from effdl.runs.folder import RunFolder
from effdl.sweep.launch import check_sweep, first_config
from effdl.utils.errors import UserError

ROOT = Path(__file__).parent.parent
ROOMS = ("*.md", "configs/**/*.md", "effdl/**/*.md", "scripts/**/*.md", "tests/**/*.md")
PAGES = sorted(page for pattern in ROOMS for page in ROOT.glob(pattern))
RUN = ROOT / "outputs" / "example"
# What stands in the pages for a folder of the reader's.
PLACEHOLDERS = {"RUN": str(RUN), "DIR": "data", "FOLDER": str(RUN), "outputs/2026-01-31/12-00-00": str(RUN)}
OWN = "mine"  # the folder of the reader's own code, whose files are blocks of the same page


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page, *languages):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


@cache
def commands(page):
    """The command lines of a page that run effdl, as words without comments."""
    lines = [line for text in blocks(page, "bash") for line in text.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [found for line in words for found in effdl_commands(line)]


def effdl_commands(words):
    """The words behind ``effdl``, however it is called; a chain of ``&&`` may call it too."""
    line = []
    for word in [*words, "&&"]:
        if word != "&&":
            line.append(word)
            continue
        if line and Path(line[0]).name == "effdl":
            yield line[1:]
        elif line[:1] == ["torchrun"] and "effdl" in line:
            yield line[line.index("effdl") + 1 :]
        line = []


def filled(word, own):
    """A word with folders in the place of the placeholders."""
    for placeholder, folder in {**PLACEHOLDERS, OWN: str(own)}.items():
        word = re.sub(rf"(?<![\w/.]){re.escape(placeholder)}(?!\w)", lambda _, folder=folder: folder, word)
    return word


ALL = [
    pytest.param(page, words, id=f"{name_of(page)}: {shlex.join(words)}") for page in PAGES for words in commands(page)
]


@pytest.fixture
def own(request, tmp_path, monkeypatch):
    """The folder `mine` with the files that the page shows, each a block that begins with its path."""
    monkeypatch.syspath_prepend(tmp_path / OWN)
    for text in blocks(request.getfixturevalue("page"), "python", "yaml"):
        first, _, rest = text.partition("\n")
        if first.startswith(f"# {OWN}/"):
            file = tmp_path / first.removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(rest)
    return tmp_path / OWN


def check_train(words):
    _, args = parse_arguments(words)
    overrides = args.overrides
    if folder := resume_folder(overrides):
        check_targets(restored(RunFolder(folder).run["config"], overrides, trusted=args.trust))
        return
    if args.multirun:
        own = [Path(args.config_dir)] if args.config_dir else []
        check_sweep(first_config(args), args, *own, config_folder())
    else:
        check_targets(settings(composed(overrides, args.config_dir)))


class AcceptedError(Exception):
    """A command's arguments were parsed."""


def check_other(monkeypatch, command, words):
    """Let a command parse its words, and go no further."""

    def then_stop(method):
        def parse(self, *args, **kwargs):
            raise AcceptedError(method(self, *args, **kwargs))

        return parse

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, then_stop(getattr(argparse.ArgumentParser, name)))
    with pytest.raises(AcceptedError) as accepted:
        import_module(f"effdl.cli.{command}").main(words)
    return accepted.value.args[0]


@pytest.mark.parametrize(("page", "words"), ALL)
def test_commands_are_accepted(page, words, own, monkeypatch):
    words = [filled(word, own) for word in words]
    command = next((word for word in words if not word.startswith("-")), None)
    if command is None:
        assert dispatch(words) == 0
        return
    assert command in COMMANDS
    words.remove(command)
    if command == "train":
        check_train(words)
        return
    args = check_other(monkeypatch, command, words)
    if command == "reproduce":
        for name in [word for word in args.words if "=" not in word]:
            experiment_file(name, args.config_dir)
            config_of(name, [word for word in args.words if "=" in word], args.config_dir)
    if command == "export":
        from effdl.cli.export import checked

        checked(args.options)


def test_a_wrong_command_would_be_noticed(monkeypatch):
    with pytest.raises(UserError, match="schedule"):
        check_train(["prune=0.5", "compression.magnitude.schedule=never"])
    with pytest.raises(UserError, match="prnue"):
        check_train(["-m", "prnue=0.5,0.9"])
    with pytest.raises(UserError, match="--no-such-option"):
        check_other(monkeypatch, "report", ["--no-such-option"])
    assert list(effdl_commands(shlex.split("a && .venv/bin/effdl train b=1"))) == [["train", "b=1"]]
    assert list(effdl_commands(shlex.split("torchrun -m effdl train b=1"))) == [["train", "b=1"]]
    assert filled("compression.magnitude.amounts=RUN/amounts.json", Path("x")).endswith(f"={RUN}/amounts.json")


def test_every_page_with_commands_is_read():
    names = {name_of(page) for page in PAGES}
    assert {"README.md", "CHANGELOG.md", "configs/compression/README.md", "effdl/runs/README.md"} <= names
    assert len(ALL) > 50


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_first_page_is_short_and_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 140
    first, second, *_ = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    setup = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e"
    assert first == f"{setup} . && .venv/bin/effdl train model=resnet prune=0.5\n"
    assert second == f"{setup} '.[test]' && .venv/bin/pytest -n 2 --dist loadfile\n"
    assert re.findall(r"^python3 -m venv .*/pytest .*$", text, re.MULTILINE) == [
        second.strip()
    ]  # `.ci/run` looks for it


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_generated_parts_are_closed(page):
    marks = re.findall(r"^<!-- (/?)(.+?) -->$", page.read_text(), re.MULTILINE)
    assert [(slash, name) for slash, name in marks[::2]] == [("", name) for _, name in marks[::2]]
    assert [(slash, name) for slash, name in marks[1::2]] == [("/", name) for _, name in marks[::2]]


def test_scripts_write_parts_that_are_there(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    parts = {name: page for name, (page, _) in import_module("update_pages").PARTS.items()}
    for name, page in {**parts, "methods": "configs/compression/README.md"}.items():
        assert f"\n<!-- {name} -->\n" in (ROOT / page).read_text()


def test_every_script_is_listed():
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", (ROOT / "scripts" / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in (ROOT / "scripts").glob("*.py")}
