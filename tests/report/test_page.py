"""The interactive page, in a real browser where there is one."""

import json
import re
import shutil
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from statistics import mean, stdev

import pytest

import effdl
from effdl.report.page import contents, digest, page
from effdl.report.plots.marks import COLOURS

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=1280,900"
)
HOSTILE = "</script><script>window.hacked = 1</script><!--<b>&"


def rows(count=6):
    """Rows as `gather.rows` makes them: each run a dense stage and a pruned one."""
    found = []
    for i in range(count):
        level = (0.5, 0.9)[i % 2]
        model = ("resnet", "mlp")[i % 3 == 0]
        config = {
            "prune": level,
            "seed": i,
            "model.option": model,
            "deep": [1, {"a": HOSTILE}],
        }
        head = {"run": i + 1, "name": f"prune={level} seed={i}", "folder": f"outputs/{i}", "status": "done", "seed": i}
        spent = {"energy_kwh": None, "evaluate_energy_kwh": 1e-6, "done": True}
        dense = {
            "stage": "dense",
            "method": "train",
            "dense": True,
            "top1": 0.95,
            "size_bytes": 40_000 + i,
            "macs": 9000,
        }
        pruned = {"stage": "prune", "method": "magnitude", "dense": False, "top1": 0.95 - level / 10 - i / 1000}
        pruned |= {"size_bytes": round(40_000 * (1 - level)) + i, "macs": None, "loss": float("inf")}
        found += [{**head, "config": config, **spent, **row} for row in (dense, pruned)]
    return found


class Elements(HTMLParser):
    """Tags with their attributes, and what scripts hold."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script" and self.scripts:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        if tag == "script":
            self.found.append(("/script", {}))


def test_nothing_outside_the_page_is_needed():
    text = page(rows(), {"runs": "6 done"}, "A sweep")
    for tag, attributes in Elements(text).found:
        for name in ("src", "href", "action", "srcset", "data"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert "@import" not in text
    assert "url(" not in text
    assert re.findall(r"https?://[^\s\"']+", text) == ["http://www.w3.org/2000/svg"]  # a name, not an address


def test_the_policy_allows_this_script_and_style_only():
    text = page(rows(), {}, "t")
    policy = next(a["content"] for tag, a in Elements(text).found if a.get("http-equiv") == "Content-Security-Policy")
    script = Elements(text).scripts[-1]
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src '{digest(script)}'" in policy
    assert f"style-src '{digest(style)}'" in policy
    assert "unsafe" not in policy


def test_the_digest_is_that_of_the_standard():
    """The example of the Content Security Policy's level 2, section 7.17.2."""
    assert digest("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="


def test_data_cannot_leave_their_element():
    hostile = [{**row, "name": HOSTILE, "folder": HOSTILE} for row in rows(1)]
    elements = Elements(page(hostile, {HOSTILE: HOSTILE}, HOSTILE))
    assert [tag for tag, _ in elements.found].count("script") == 2
    data = json.loads(elements.scripts[0])
    assert data["rows"][0]["folder"] == HOSTILE
    assert data["rows"][0]["texts"][0] == HOSTILE


def test_numbers_are_as_stored():
    data = contents(rows())
    keys = [column["key"] for column in data["numbers"]]
    assert {"top1", "size_bytes", "macs", "seed", "prune", "evaluate_energy_kwh"} <= set(keys)
    assert not {"done", "loss", "energy_so_far_kwh", "dense"} & set(keys)  # no numbers, or none is known
    pruned = data["rows"][1]["numbers"]
    assert pruned[keys.index("top1")] == 0.95 - 0.05
    assert pruned[keys.index("macs")] is None
    assert data["start"] == ["size_bytes", "top1"]
    assert [item["key"] for item in data["texts"] if item["several"]] == ["name", "model", "stage", "method"]


def test_means_are_those_over_the_seeds():
    given = [row for row in rows(8) if row["config"]["model.option"] == "resnet"]
    data = contents(given)
    keys = [item["key"] for item in data["numbers"]]
    pruned = [row["top1"] for row in given if row["stage"] == "prune" and row["config"]["prune"] == 0.9]
    found = next(row for row in data["means"] if row["kind"] == "prune: magnitude" and "prune=0.9" in row["config"])
    assert found["n"] == len(pruned) == 3
    assert found["numbers"][keys.index("top1")] == pytest.approx(mean(pruned))
    assert found["spreads"][keys.index("top1")] == pytest.approx(stdev(pruned))
    assert found["numbers"][keys.index("seed")] is None
    assert not any(text.startswith("seed=") for text in found["config"])
    assert data["models"] is None


def test_no_rows_and_unmeasured_rows_make_a_page():
    assert "<html" in page([], {}, "empty")
    failed = {"run": 1, "name": "x", "folder": "y", "config": {}, "stage": None, "method": None, "dense": False}
    assert contents([failed])["rows"][0]["texts"][0] == "x"


def test_the_wheel_holds_the_page(tmp_path):
    build = pytest.importorskip("hatchling.builders.wheel", reason="needs hatchling")
    builder = build.WheelBuilder(str(Path(effdl.__file__).parents[1]))
    (wheel,) = builder.build(directory=str(tmp_path), versions=["standard"])
    assert {f"effdl/report/page.{end}" for end in ("py", "html", "js", "css")} <= set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no browser is installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in [*OPTIONS.split(), f"user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield found
    found.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page of these rows, one by one or averaged; afterwards nothing may have gone wrong in it."""

    def open_page(rows, averaged=False):
        (tmp_path / "report.html").write_text(page(rows, {"energy": "3 Wh <&>"}, "A <sweep>"), encoding="utf-8")
        browser.get((tmp_path / "report.html").as_uri())
        if not averaged and browser.find_element("id", "seeds").is_displayed():
            browser.find_element("id", "mean").click()
        return browser

    yield open_page
    assert browser.get_log("browser") == []


def all_of(browser, selector):
    return browser.find_elements("css selector", selector)


def column(browser, key):
    """The texts of a column, top to bottom."""
    heads = [head.get_attribute("data-key") for head in all_of(browser, "th")]
    return [cell.text for cell in all_of(browser, f"tbody td:nth-child({heads.index(key) + 1})")]


def set_axis(browser, name, key):
    from selenium.webdriver.support.select import Select

    Select(browser.find_element("id", name)).select_by_value(key)


def test_it_opens(opened):
    browser = opened(rows())
    assert browser.title == "A <sweep>"
    assert browser.find_element("id", "totals").text.split("\n") == ["energy", "3 Wh <&>"]
    assert len(all_of(browser, ".point")) == len(all_of(browser, "tbody tr")) == 12
    assert len(all_of(browser, ".point.dense")) == 6
    assert [item.text for item in all_of(browser, "#legend li")] == ["mlp", "resnet", "dense", "prune: magnitude"]
    assert browser.execute_script("return window.hacked") is None
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_seeds_are_averaged_until_one_asks_for_each(opened):
    browser = opened(rows(), averaged=True)
    assert column(browser, "n") == ["2", "1", "4", "2", "2", "1"]  # pruning comes after the dense stages of four seeds
    assert any("±" in text for text in column(browser, "top1"))
    assert all_of(browser, ".bar")
    assert len(all_of(browser, ".point")) == len(all_of(browser, "tbody tr")) < 12
    browser.find_element("id", "mean").click()
    assert len(all_of(browser, ".point")) == 12
    assert not all_of(browser, ".bar")
    assert not any("±" in text for text in column(browser, "top1"))


def test_colours_are_those_of_the_models(opened):
    browser = opened(rows())
    colours = {COLOURS[0]: "mlp", COLOURS[1]: "resnet"}
    for point in all_of(browser, ".point"):
        row = rows()[int(point.get_attribute("data-row"))]
        paint = point.get_attribute("stroke" if row["dense"] else "fill")
        assert colours[paint] == row["config"]["model.option"]
    alone = opened([row for row in rows() if row["config"]["model.option"] == "mlp"])
    assert {point.get_attribute("fill") for point in all_of(alone, ".point:not(.dense)")} == {COLOURS[0]}
    assert [item.text for item in all_of(alone, "#legend li")] == ["dense", "prune: magnitude"]


def test_a_telephone_shows_the_plot_and_the_numbers(opened):
    browser = opened(rows())
    size = browser.get_window_size()
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    try:
        assert browser.execute_script("return innerWidth") == 400
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        top1 = browser.find_element("css selector", "td:nth-child(5)")
        assert top1.location["x"] + top1.size["width"] <= 400  # beside the name, without scrolling
        assert not browser.find_element("css selector", "td.about").is_displayed()
        assert browser.find_element("css selector", "td .kind").text == "dense"
        chart = browser.find_element("id", "chart")
        labels = [label.text for label in all_of(browser, "#chart text")]
        assert chart.size["width"] <= 400
        assert len([label for label in labels if label.replace(",", "").replace(".", "").isdigit()]) >= 6
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.set_window_size(**size)


@pytest.mark.parametrize(("low", "high"), [(1, 9), (2.1, 6.5), (50, 500), (0.9, 2e7), (8, 1200), (3e-5, 2e-4)])
@pytest.mark.parametrize("count", [5, 6, 12])
@pytest.mark.parametrize("log", ["true", "false"])
def test_an_axis_has_three_labels_at_least(opened, low, high, count, log):
    found = opened(rows(1)).execute_script(f"return ticks({low}, {high}, {log}, {count})")
    assert 3 <= len(found) <= count
    assert found == sorted(set(found))
    assert low <= found[0] <= found[-1] <= high


def test_hovering_shows_the_config(opened):
    from selenium.webdriver import ActionChains

    browser = opened(rows())
    tip = browser.find_element("id", "tip")
    assert not tip.is_displayed()
    ActionChains(browser).move_to_element(browser.find_element("css selector", '.point[data-row="1"]')).perform()
    assert tip.is_displayed()
    assert "prune: magnitude · prune=0.5 seed=0" in tip.text
    assert "model=mlp" in tip.text
    assert "top-1 accuracy (%)\n90" in tip.text
    ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
    assert not tip.is_displayed()


def test_a_header_sorts(opened):
    browser = opened(rows())
    head = 'th[data-key="top1"]'
    for direction in ("ascending", "descending"):
        browser.find_element("css selector", f"{head} button").click()
        assert browser.find_element("css selector", head).get_attribute("aria-sort") == direction
        values = [float(text) for text in column(browser, "top1")]
        assert values == sorted(values, reverse=direction == "descending")
    browser.find_element("css selector", 'th[data-key="macs"] button').click()
    assert column(browser, "macs") == ["9"] * 6 + ["–"] * 6  # what was not measured is last
    assert len(all_of(browser, "th[aria-sort]")) == 1


def test_other_axes_are_another_plot(opened):
    browser = opened(rows())

    def places():
        return [point.get_attribute("transform") for point in all_of(browser, ".point")]

    before = places()
    set_axis(browser, "x", "seed")
    assert places() != before
    assert "seed" in browser.find_element("id", "caption").text
    assert not all_of(browser, ".front")  # nobody says whether a high seed is better
    assert "seed" in [head.get_attribute("data-key") for head in all_of(browser, "th")]
    set_axis(browser, "x", "macs")
    assert len(all_of(browser, ".point")) == 6
    assert "6 not measured" in browser.find_element("id", "count").text
    set_axis(browser, "x", "size_bytes")
    linear = browser.find_element("id", "logx").is_selected()
    before = places()
    browser.find_element("id", "logx").click()
    assert browser.find_element("id", "logx").is_selected() != linear
    assert places() != before


def test_the_front_is_that_of_the_python_function(opened):
    from effdl.measure.pareto import front

    given = rows(30)
    browser = opened(given)
    for x, goal in (("size_bytes", "min"), ("prune", None), ("top1", "max")):
        set_axis(browser, "y", "top1")
        set_axis(browser, "x", x)
        marked = {int(line.get_attribute("data-row")) for line in all_of(browser, "tr.best")}
        expected = front([(row[x], row["top1"]) for row in given], (goal, "max")) if goal and x != "top1" else []
        assert marked == set(expected)
        assert len(all_of(browser, ".ring")) == len(expected)


def test_filters_reduce_plot_and_table(opened):
    from selenium.webdriver.support.select import Select

    browser = opened(rows())

    def counts():
        return len(all_of(browser, ".point")), len(all_of(browser, "tbody tr"))

    Select(browser.find_element("css selector", 'select[data-key="stage"]')).select_by_value("prune")
    assert counts() == (6, 6)
    browser.find_element("id", "text").send_keys("prune=0.9 resnet")
    assert counts() == (2, 2)
    assert "2 of 12 rows" in browser.find_element("id", "count").text
    browser.find_element("id", "text").send_keys(" nothing")
    assert counts() == (0, 0)
    browser.find_element("id", "text").clear()
    browser.find_element("id", "text").send_keys(" ")
    assert counts() == (6, 6)


def test_a_point_and_its_row_are_chosen_together(opened):
    from selenium.webdriver import Keys

    browser = opened(rows())
    browser.find_element("css selector", '.point[data-row="3"]').click()
    assert [line.get_attribute("data-row") for line in all_of(browser, "tr.chosen")] == ["3"]
    line = browser.find_element("css selector", 'tr[data-row="5"]')
    line.send_keys(Keys.ENTER)
    assert [line.get_attribute("data-row") for line in all_of(browser, "tr.chosen")] == ["5"]
    ring = browser.find_element("css selector", "circle.chosen")
    point = browser.find_element("css selector", '.point[data-row="5"]')
    assert point.get_attribute("transform") == f"translate({ring.get_attribute('cx')},{ring.get_attribute('cy')})"
    line.send_keys(Keys.ARROW_DOWN)
    assert browser.switch_to.active_element.get_attribute("data-row") == "6"


def test_a_thousand_runs(opened):
    browser = opened(rows(1000))
    assert len(all_of(browser, ".point")) == 2000
    assert len(all_of(browser, "tbody tr")) == 300
    milliseconds = browser.execute_script("const t = performance.now(); update(); return performance.now() - t")
    assert milliseconds < 2000
    browser.find_element("id", "more").click()
    assert browser.execute_script("return document.querySelectorAll('tbody tr').length") == 2000
    assert not browser.find_element("id", "more").is_displayed()


def test_rows_without_measures(opened):
    failed = {"run": 1, "name": "x", "folder": "y", "config": {}, "stage": None, "method": None, "dense": False}
    browser = opened([failed])
    assert all_of(browser, ".point") == []
    assert "nothing to draw" in browser.find_element("id", "chart").text
    assert len(all_of(browser, "tbody tr")) == 1
