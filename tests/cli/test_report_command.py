"""``effdl report`` on real runs of the digits, and on a thousand folders."""

import ast
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from effdl.cli.main import main
from effdl.runs.folder import RunFolder

TRAIN = ("model=mlp", "model.hidden=[16]", "epochs=2", "device.threads=1")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two seeds of a pruned net, one dense net; a failed run, a damaged one."""
    root = tmp_path_factory.mktemp("report") / "outputs"
    for name, overrides in {
        "seed0": ["prune=0.5", "seed=0"],
        "seed1": ["prune=0.5", "seed=1"],
        "dense": ["model.hidden=[8]"],
    }.items():
        assert main(["train", *TRAIN, *overrides, f"hydra.run.dir={root / 'sweep' / name}"]) == 0
    failed = shutil.copytree(root / "sweep" / "dense", root / "failed")
    (failed / "result.json").unlink()
    RunFolder(failed).end("failed", "the loss is nan")
    (root / "damaged").mkdir()
    (root / "damaged" / "run.json").write_text('{"status": ')
    return root


@pytest.fixture
def report(effdl, outputs):
    """The command on these runs: exit code, standard output and error."""
    return lambda *arguments: effdl("report", str(outputs), *arguments)


def results(outputs):
    """What the runs themselves recorded, by folder."""
    return {
        name: json.loads((outputs / "sweep" / name / "result.json").read_text()) for name in ("dense", "seed0", "seed1")
    }


def test_the_table_and_the_totals(report, outputs):
    code, out, err = report()
    assert code == 0
    lines = [line for line in out.splitlines() if " % " in line and "best" not in line]
    assert len(lines) == 3
    for line, name in zip(lines, ("dense", "seed0", "seed1"), strict=True):
        assert f"{100 * results(outputs)[name]['stages'][-1]['top1']:.2f} %" in line
    assert "prune=0.5 hidden=[16] seed=0" in lines[1]
    assert "hidden=[8]" in lines[0]
    assert out.startswith(f"3 rows of {outputs} (model=mlp dataset=digits)")
    assert "skipped" in err
    assert "run.json is damaged" in err
    assert str(outputs / "damaged") in err
    # The failed run repeats the dense one's two epochs.
    epochs = 2 + sum(result["total"]["epochs"] for result in results(outputs).values())
    assert f"runs: 3 done, 1 failed, 1 damaged; {epochs} epochs" in out
    energy = [result["total"]["source"]["cpu"] for result in results(outputs).values()]
    assert f"cpu {energy[0]}" in out


def test_unfinished_runs_are_shown_if_asked(report):
    assert "failed " not in report("--columns", "name,status")[1]
    code, out, _ = report("--all", "--columns", "name,status,top1")
    assert code == 0
    assert sum("failed " in line for line in out.splitlines() if not line.startswith("runs:")) == 1


def test_csv_has_every_digit(report, outputs):
    code, out, err = report("--format", "csv", "--stages", "all")
    assert code == 0
    read = list(csv.DictReader(io.StringIO(out)))
    stages = [row for result in results(outputs).values() for row in result["stages"]]
    assert len(read) == len(stages) == 5
    for line, row in zip(read, stages, strict=True):
        for key in ("top1", "loss", "params", "macs", "size_bytes", "energy_kwh"):
            assert (float(line[key]) if line[key] else None) == row[key]
    assert {line["config.prune"] for line in read} == {"", "0.5"}
    assert [line["dense"] for line in read] == ["True", "True", "False", "True", "False"]
    assert "runs: 3 done" in err  # the totals do not get into the file


def test_pandas_reads_the_csv(report, tmp_path, outputs):
    pandas = pytest.importorskip("pandas")
    assert report("--format", "csv", "--output", str(tmp_path / "new" / "runs.csv"))[0] == 0
    frame = pandas.read_csv(tmp_path / "new" / "runs.csv")
    assert list(frame["top1"]) == [result["stages"][-1]["top1"] for result in results(outputs).values()]
    assert list(frame["config.seed"]) == [0, 0, 1]


def test_json_has_rows_totals_and_what_is_damaged(report, outputs):
    code, out, _ = report("--format", "json", "--sort", "-top1")
    assert code == 0
    read = json.loads(out)
    tops = [row["top1"] for row in read["rows"]]
    assert tops == sorted(tops, reverse=True)
    kwh = sum(result["total"]["energy_kwh"] or 0 for result in results(outputs).values())
    assert read["totals"]["energy_kwh"] >= kwh  # the failed run's too
    assert [Path(item["folder"]).name for item in read["damaged"]] == ["damaged"]
    assert all(row["micronet_score"] > 0 and row["course_score"] > 0 for row in read["rows"])


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("options", [(), ("--scores", "all"), ("--group",), ("--scores", "course")])
def test_columns_says_how_wide_a_table_is_and_without_it_nothing_is_cut(report, monkeypatch, width, options):
    whole = report(*options)[1].split("\nruns: ")[0]
    assert "left out" not in whole
    monkeypatch.setenv("COLUMNS", str(width))
    table = report(*options)[1].split("\nruns: ")[0]
    assert max(map(len, table.splitlines())) <= width
    names = [line.split("  ")[0] for line in whole.split("─\n")[1].splitlines() if line]
    assert all(word in table for name in names for word in name.split())
    numbers = set(re.findall(r"(?<![\w.=])[+-]?\d[\d.,]*(?:e-?\d+)?(?![\w.])", whole))
    shown = table.split("left out")[0]
    assert set(re.findall(r"(?<![\w.=])[+-]?\d[\d.,]*(?:e-?\d+)?(?![\w.])", shown)) <= numbers


def test_group_and_where(report, outputs):
    code, out, _ = report("--group", "--where", "prune=0.5", "--format", "json")
    assert code == 0
    [row] = json.loads(out)["rows"]
    a, b = (results(outputs)[name]["stages"][-1]["top1"] for name in ("seed0", "seed1"))
    assert (row["n"], row["top1"]) == (2, pytest.approx((a + b) / 2))
    assert row["top1_std"] == pytest.approx(abs(a - b) / 2**0.5)
    text = report("--group", "--where", "prune=0.5", "--columns", "name,n,top1")[1]
    assert f"{50 * (a + b):.2f} ± " in text


@pytest.mark.parametrize(
    ("scores", "headings"),
    [
        ("course", ("q_w", "p_s", "p_u", "course score")),
        ("micronet", ("32-bit params", "operations", "CIFAR-100 (WideResNet-28-10)")),
        ("dcase", ("non-zero", "size, KB", "memory, KB", "complexity management", "magnitude", "weighted rank")),
        ("training_cost", ("hardware", "power, W", "hours", "kWh x PUE", "CO2e, lbs", "training compute")),
        ("all", ("course score", "MicroNet score", "weighted rank", "kWh x PUE")),
    ],
)
def test_score_tables(report, scores, headings):
    code, out, _ = report("--scores", scores)
    assert code == 0
    for heading in headings:
        assert heading in out


def test_the_challenges_table_is_in_the_order_of_its_ranks(report):
    found = json.loads(report("--scores", "dcase", "--stages", "all", "--format", "json")[1])["rows"]
    ranks = [row["dcase_rank"] for row in found]
    assert len(ranks) > 2
    assert ranks == sorted(ranks)
    assert sum(ranks) == pytest.approx(len(ranks) * (len(ranks) + 1) / 2)
    by_size = json.loads(report("--scores", "dcase", "--sort", "-size", "--format", "json")[1])["rows"]
    assert [row["size_bytes"] for row in by_size] == sorted((row["size_bytes"] for row in by_size), reverse=True)


def test_markdown_and_latex(report):
    assert report("--format", "markdown", "--columns", "stage,n,top1")[0] == 2  # n: only in groups
    code, out, _ = report("--format", "markdown", "--columns", "stage,top1,model")
    assert code == 0
    assert out.splitlines()[:2] == ["| stage | top-1 | model |", "| --- | ---: | ---: |"]
    assert len(out.splitlines()) == 5
    assert report("--format", "latex")[1].startswith("\\begin{tabular}{ll")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--where", "topp1>0"), "did you mean 'top1'"),
        (("--where", "top1"), "allowed is KEY=VALUE"),
        (("--where", "top1>2"), "no row is left"),
        (("--sort", "nothing_at_all"), "neither a column nor a config key"),
        (("--columns", "name,siz"), "did you mean 'size'"),
        (("--html", "."), "that is a folder"),
    ],
)
def test_mistakes_are_one_line(report, arguments, said):
    code, out, err = report(*arguments)
    assert code == 2
    assert said in err
    assert "Traceback" not in out + err


def test_folders_without_runs(effdl, tmp_path, outputs):
    assert "there is no such folder" in effdl("report", "nowhere")[2]
    assert "outputs: there is no such folder" in effdl("report")[2]
    (tmp_path / "empty").mkdir()
    code, _, err = effdl("report", "empty")
    assert (code, "no runs there" in err) == (2, True)
    code, _, err = effdl("report", str(outputs / "failed"))
    assert (code, "none of 1 runs is done (--all shows them)" in err) == (2, True)


def test_pictures_are_of_all_stages_of_the_chosen_runs(report, tmp_path, monkeypatch):
    from effdl.report.plots import pictures

    drawn = []
    monkeypatch.setattr(
        pictures, "pictures", lambda rows, folder, published: drawn.extend(rows) or [folder / "one.png"]
    )
    code, out, _ = report("--group", "--where", "prune=0.5", "--plots", str(tmp_path / "pictures"))
    assert code == 0
    assert f"picture: {tmp_path / 'pictures' / 'one.png'}" in out
    assert [(row["stage"], row["seed"]) for row in drawn] == [("dense", 0), ("prune", 0), ("dense", 1), ("prune", 1)]
    assert all(row["micronet_score"] for row in drawn)


def test_the_page_is_written_beside_the_table_or_as_the_format(report, tmp_path, monkeypatch):
    from effdl.report import page

    monkeypatch.setattr(page, "page", lambda rows, totals, title: f"{len(rows)} {totals['runs'].split()[0]} {title}")
    code, out, _ = report("--where", "seed=1", "--html")
    assert code == 0
    assert "page: report.html" in out
    assert (tmp_path / "report.html").read_text().startswith("2 3 1 run of")
    assert report("--format", "html")[1].startswith("5 3 3 runs of")


def test_of_many_runs_each_file_is_read_as_often_as_of_one(outputs, tmp_path):
    """How long that takes is measured by scripts/benchmark_report.py: a thousand runs in 5 s on an idle machine."""
    names = ("run.json", "result.json", "epochs.jsonl", "stages.jsonl", "layers.jsonl", "model.safetensors")
    for number in range(100):
        folder = tmp_path / "many" / str(number % 10) / str(number)
        folder.mkdir(parents=True)
        for name in names:
            shutil.copyfile(outputs / "sweep" / f"seed{number % 2}" / name, folder / name)
    opened = """
import collections, pathlib, sys
opened = collections.Counter()
sys.addaudithook(lambda event, args: event == "open" and opened.update([pathlib.Path(str(args[0])).name]))
from effdl.cli.main import main
code = main(sys.argv[1:])
print(dict(opened), file=sys.stderr)
sys.exit(code or "torch" in sys.modules)
"""
    command = [sys.executable, "-c", opened, "report", str(tmp_path / "many"), "--group", "--scores"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    epochs = 100 * results(outputs)["seed0"]["total"]["epochs"]
    assert f"runs: 100 done; {epochs:,} epochs; 1 settings" in done.stdout
    assert re.search(r"^run .*\n.*\n.* 2  ", done.stdout, re.MULTILINE)  # one group, of two seeds
    times = ast.literal_eval(done.stderr.splitlines()[-1])
    # Checked, hashed, and for what is summed or scored read once more.
    assert {name: times[name] for name in names} == {
        "run.json": 100,
        "result.json": 100,
        "epochs.jsonl": 300,
        "stages.jsonl": 200,
        "layers.jsonl": 300,
        "model.safetensors": 100,
    }


def test_published_models_of_other_data_are_said_to_be_none(report, tmp_path):
    code, out, _ = report("--plots", str(tmp_path / "pictures"), "--published")
    assert (code, "--published: there are values of cifar10, cifar100, imagenet only" in out) == (0, True)
    code, _, error = report("--published")
    assert (code, "pictures of --plots DIR, which is missing" in error) == (2, True)
