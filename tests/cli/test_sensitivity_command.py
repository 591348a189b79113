"""The command, on a small run."""

import json

from effdl.utils.rows import Rows


def test_table_picture_rows_and_amounts_for_a_later_run(effdl, tmp_path):
    assert effdl("train", "model=mlp", "epochs=3", "hydra.run.dir=run")[0] == 0
    code, output, _ = effdl("sensitivity", "run", "prune=0.5,0.95", "quantize=2,12")
    assert code == 0
    assert "-95%" in output
    assert "2 bits" in output
    assert "compression.lsq.bits_file=run/bits.json" in output.replace(f"{tmp_path}/", "")
    rows = Rows(tmp_path / "run" / "sensitivity.jsonl").read()
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    assert len(rows) == 4 * len(layers)
    assert {row["split"] for row in rows} == {"val"}
    assert (tmp_path / "run" / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    amounts = json.loads((tmp_path / "run" / "amounts.json").read_text())
    assert list(amounts) == layers
    assert set(amounts.values()) <= {0.0, 0.5, 0.95}
    bits = json.loads((tmp_path / "run" / "bits.json").read_text())
    assert list(bits) == layers
    assert set(bits.values()) <= {2, 8}

    assert effdl("sensitivity", "run", "prune=0.5,0.95,0.3", "quantize=")[0] == 0
    assert len(Rows(tmp_path / "run" / "sensitivity.jsonl").read()) == 5 * len(layers)

    (tmp_path / "own.json").write_text(json.dumps({layers[0]: 0.9, layers[1]: 0.3}))
    arguments = ("train", "model=mlp", "epochs=1", "prune=0.5", "compression.magnitude.amounts=own.json")
    assert effdl(*arguments, "hydra.run.dir=pruned")[0] == 0
    found = {row["name"]: row for row in Rows(tmp_path / "pruned" / "layers.jsonl").read() if row["stage"] == "prune"}
    assert found[layers[0]]["weight_sparsity"] > found[layers[1]]["weight_sparsity"] > 0


def test_bits_of_layers_in_a_run(effdl, tmp_path):
    (tmp_path / "bits.json").write_text(json.dumps({"1": 3, "7": 5, "10": 32}))
    mlp = ("train", "model=mlp", "model.hidden=[16,16,16]", "epochs=1", "quantize=4")
    mlp += ("compression.lsq.bits_file=bits.json",)
    assert effdl(*mlp, "hydra.run.dir=run")[0] == 0
    found = {row["name"]: row for row in Rows(tmp_path / "run" / "layers.jsonl").read() if row["stage"] == "quantize"}
    assert [(row["weight_bits"], row["activation_bits"]) for row in found.values()] == [
        (3, 3),
        (4, 4),
        (5, 5),
        (32, 32),
    ]
    for text, message in (
        ('{"9": 3}', "compression.lsq.bits_file=bits.json: 9 is no layer (layers: 1, 4, 7, 10)"),
        ('{"1": 1}', "(allowed: {layer name: whole number from 2 to 8, or 32} in JSON)"),
    ):
        (tmp_path / "bits.json").write_text(text)
        code, _, error = effdl(*mlp, "hydra.run.dir=other")
        assert (code, message in error.replace(f"{tmp_path}/", "")) == (2, True), error


def test_mistakes_are_named(effdl, tmp_path):
    code, _, error = effdl("sensitivity", "nothing")
    assert (code, "not a run folder" in error) == (2, True)
    for argument, message in {
        "prun=0.5": "did you mean 'prune'?",
        "prune=half": "allowed are numbers with commas between them",
        "prune": "is not a KEY=VALUE",
        "prune=1.5": "prune=1.5: allowed are numbers >= 0 and < 1",
        "quantize=2.5": "quantize=2.5: allowed are whole numbers of bits",
        "tolerance=": "tolerance=: allowed is one number",
    }.items():
        code, _, error = effdl("sensitivity", "nothing", argument)
        assert code == 2
        assert message in error, error
