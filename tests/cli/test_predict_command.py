"""`effdl predict`: the same answers by the run, its file, its exports and the page's lines without effdl."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import effdl as package
from effdl.utils.errors import UserError

PAGE = Path(package.__file__).parent / "deploy" / "README.md"
NAMES = ("ant", "bee", "cat", "dog")
COLORS = ((200, 60, 60), (60, 200, 60), (60, 60, 200), (200, 200, 60))
EXAMPLE = Path(__file__).parents[2] / "outputs" / "example"


def picture(rng, kind: int, height: int, width: int) -> Image.Image:
    """A noisy square of the class's color."""
    pixels = np.full((height, width, 3), 60.0)
    pixels[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = COLORS[kind]
    return Image.fromarray((pixels + rng.normal(0, 15, pixels.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run in ``run`` and 20 photos of varying sizes, in five formats, in ``photos``."""
    here, rng = tmp_path_factory.mktemp("predict"), np.random.default_rng(0)
    for kind, name in enumerate(NAMES):
        (here / "data" / name).mkdir(parents=True)
        for number in range(20):
            picture(rng, kind, 16, 16).save(here / "data" / name / f"{number}.png")
    (here / "photos" / "more").mkdir(parents=True)
    for number in range(20):
        photo = picture(rng, number % 4, *rng.integers(20, 200, 2))
        photo = photo.convert("L") if number in (6, 13) else photo
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 5 else 1  # turned
        suffix = ("jpg", "png", "webp", "bmp", "tiff")[number % 5]
        options = {} if suffix == "bmp" else {"exif": exif}
        photo.save(here / "photos" / ("more" if number > 15 else "") / f"{number:02}.{suffix}", **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setenv("XDG_CACHE_HOME", str(here / "cache"))
        quick = ["model=convnet", "epochs=12", "energy.enabled=false", "device.threads=1"]
        package.train([*quick, "dataset=image_folder", "dataset.root=data", "hydra.run.dir=run"], quiet=True)
    return here


@pytest.fixture
def at(folder, effdl, monkeypatch):
    """The command, in that folder."""
    monkeypatch.chdir(folder)
    return effdl


def table_of(output: str) -> dict[str, dict[str, float]]:
    """Probabilities by image and class, from the CSV."""
    found: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(io.StringIO(output)):
        found.setdefault(row["image"], {})[row["class"]] = float(row["probability"])
    return found


def close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for image, probabilities in found.items():
        assert probabilities.keys() == expected[image].keys()
        assert max(probabilities, key=probabilities.get) == max(expected[image], key=expected[image].get), image
        for name, value in probabilities.items():
            assert value == pytest.approx(expected[image][name], abs=tolerance)


def test_the_lines_of_the_page_give_the_same_answers(at):
    """20 photos in 5 formats by ONNX Runtime, Pillow and NumPy alone, with and without preprocessing in the file."""
    with_it, without = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    code, output, error = at("predict", "run", "photos", "--top", "4", "--csv")
    assert (code, error) == (0, "")
    stored = table_of(output)
    assert len(stored) == 20
    assert {Path(image).suffix for image in stored} == {".jpg", ".png", ".webp", ".bmp", ".tiff"}
    for option, code in (("true", with_it), ("false", f"{with_it}\n{without}")):
        status, _, error = at("export", "run", f"preprocessing={option}")
        assert (status, error) == (0, "")
        close(table_of(at("predict", "run/model.onnx", "photos", "--top", "4", "--csv")[1]), stored, 1e-5)
        names = {}
        exec(code.replace('"model.onnx"', '"run/model.onnx"'), names)
        close({image: names["predict"](image) for image in stored}, stored, 1e-4)
        record = json.loads(Path("run/export.json").read_text())["onnx"]
        assert record["preprocessing"] is (option == "true")
        assert ("probability_difference_max" in record) is (option == "true")


def test_photos_are_recognized(at):
    """What the model has learned it finds in photos of other sizes; the grey ones are left out."""
    found = {
        row["image"]: row["classes"][0]["class"] for row in json.loads(at("predict", "run", "photos", "--json")[1])
    }
    right = [
        found[image] == NAMES[int(Path(image).stem) % 4] for image in found if Path(image).stem not in ("06", "13")
    ]
    assert sum(right) >= 16


def test_a_file_of_the_data_set_is_classified_as_evaluate_does(folder, monkeypatch):
    """The pixels of a test image are those that the loader gives."""
    import torch

    from effdl.data.build import load
    from effdl.data.loader import normalize

    monkeypatch.chdir(folder)
    config = json.loads(Path("run/run.json").read_text())["config"]["dataset"]
    data, model = load(config), package.load_model("run")
    pixels = torch.from_numpy(np.array(Image.open("data/ant/0.png"))).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = torch.softmax(model(normalize(pixels, data.mean, data.std)), dim=1)[0]
    (found,) = package.predict("run", "data/ant/0.png", top=9)
    assert found.error is None
    assert dict(zip(found.classes, found.probabilities, strict=True)) == pytest.approx(
        {name: expected[data.classes.index(name)].item() for name in NAMES}, abs=1e-6
    )


def test_the_table_has_a_row_per_image(at):
    code, output, _ = at("predict", "run/model.safetensors", "photos/00.jpg", "photos/more")
    assert code == 0
    assert "number 3" in output
    assert [line.split()[0] for line in output.splitlines() if line.startswith("photos/")] == [
        "photos/00.jpg",
        *(f"photos/more/{name}" for name in ("16.png", "17.webp", "18.bmp", "19.tiff")),
    ]


def test_what_is_no_image_is_named_and_the_rest_goes_on(at):
    Path("broken.png").write_text("nothing")
    code, output, error = at("predict", "run", "broken.png", "photos/00.jpg", "nowhere.jpg", "--csv", "--top", "1")
    assert code == 1
    assert len(output.splitlines()) == 2
    assert output.splitlines()[1].startswith("photos/00.jpg,1,ant,")
    assert error.splitlines() == [
        "effdl: broken.png cannot be read as an image: its content is of no format that is read",
        "effdl: nowhere.jpg cannot be read as an image: there is no such file",
    ]
    first, _, last = package.predict("run", ["broken.png", "photos/00.jpg", "nowhere.jpg"])
    assert first.classes == last.classes == ()
    assert "cannot be read as an image" in first.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "predict: the following arguments are required: IMAGE"),
        (("run", "photos", "--top", "0"), "argument --top: 0: allowed is a whole number >= 1"),
        (("run", "photos", "--csv", "--json"), "not allowed with argument --csv"),
        (("nowhere", "photos"), "nowhere: no such model file"),
        (("nowhere.onnx", "photos"), "nowhere.onnx: no such model file"),
        (("data", "photos"), "data: not a run folder"),
        (("photos/00.jpg", "photos"), "photos/00.jpg is damaged or not a stored model"),
        (("run", "empty"), "empty: there are no images (allowed: image files, and folders of them)"),
    ],
)
def test_mistakes_are_named(at, arguments, message):
    Path("empty").mkdir(exist_ok=True)
    code, output, error = at("predict", *arguments)
    assert (code, output) == (2, "")
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_model_of_before_is_read_with_its_data_set_only(tmp_path):
    """The committed example was stored before models said what they know."""
    grey = tmp_path / "grey.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(grey)
    (found,) = package.predict(EXAMPLE, grey, top=2)
    assert set(found.classes) < set("0123456789")
    with pytest.raises(UserError, match="does not say its classes and how images are prepared for it"):
        package.predict(EXAMPLE / "model.safetensors", grey)


def test_a_file_that_something_else_exported_is_refused(folder, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(folder)
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:])
    onnx.save(
        onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", 18)]),
        tmp_path / "other.onnx",
    )
    with pytest.raises(UserError, match="does not say its classes"):
        package.predict(tmp_path / "other.onnx", "photos")
    (tmp_path / "broken.onnx").write_text("nothing")
    with pytest.raises(UserError, match=r"broken.onnx is damaged or not an ONNX file"):
        package.predict(tmp_path / "broken.onnx", "photos")
