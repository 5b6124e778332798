"""The page in a real browser: it draws, links, sorts, needs no network, and does no harm whatever runs are called."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import xarray

from lipjax import report
from lipjax.report import board

CHROMIUM = shutil.which("chromium")
FLAGS = [
    *("--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]
EVIL = "<script>window.harm = 1</script>\"><img src=x onerror='window.harm = 1'>"
NAMES = ["V", "P", "PGD", "L2NN", EVIL, *synthetic.LONG]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


def write(path: Path, **options: Any) -> Path:
    """A page of invented results."""
    runs = [
        report.RunOf(
            name, seed, f"run {name}", {"network": "cnn", "system": name}, f"train {name}", [(0, 2.0), (9, 1.0)]
        )
        for name in NAMES
        for seed in (0, 1)
    ]
    figures = synthetic.figures(NAMES, corruptions=["fog", "gaussian_noise"], points=20)
    return report.page(path, figures, title=f"A study {EVIL}", runs=runs, problems=[f"{EVIL} is damaged."], **options)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Opened:
    """A page in a browser, and what happened there."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1280, dark: bool = False):
        scheme = "dark" if dark else "light"
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def draw(self, name: str) -> Any:
        """Scrolls to a figure and waits until it is drawn."""
        chart = self.page.locator(f".chart[data-figure={name}]")
        chart.evaluate("chart => chart.scrollIntoView({block: 'center'})")
        chart.locator("svg.marks").wait_for()
        return chart

    def redraw(self, name: str, change: Any) -> Any:
        """Makes a change and waits until a figure is drawn anew."""
        chart = self.draw(name)
        self.page.wait_for_function("name => document.querySelector(`[data-figure=${name}]`).dataset.drawn", arg=name)
        before = chart.get_attribute("data-drawn")
        change()
        self.draw(name)  # what was clicked may be elsewhere, and only figures on the screen are drawn
        self.page.wait_for_function(
            "([name, before]) => document.querySelector(`[data-figure=${name}]`).dataset.drawn !== before",
            arg=[name, before],
        )
        return chart

    def names(self) -> list[str]:
        """The systems that the table shows, in its order."""
        return self.page.eval_on_selector_all(
            "#table tbody > tr:not([hidden]):not(.detail)", "rows => rows.map(row => row.dataset.system)"
        )


@pytest.fixture
def opened(browser: Any, path: Path) -> Iterator[Opened]:
    found = Opened(browser, path)
    yield found
    assert not found.said
    assert found.requests == [path.as_uri()]
    assert found.page.evaluate("window.harm") is None
    found.page.close()


@needs_browser
def test_every_figure_is_drawn_and_described_in_words(opened: Opened) -> None:
    figures = opened.page.locator(".chart").evaluate_all("charts => charts.map(chart => chart.dataset.figure)")
    assert figures == [*report.frames.TARGETS, "alpha", "corruptions", "points", "heat", "training"]
    for name in figures:
        chart = opened.draw(name)
        assert len(chart.locator("[role=graphics-document]").get_attribute("aria-label")) > 20
    assert "τ = " in opened.draw("attacked_accuracy").text_content()


@needs_browser
def test_a_column_sorts_up_and_down(opened: Opened) -> None:
    figures = synthetic.figures(NAMES, corruptions=["fog", "gaussian_noise"], points=20)
    by_clean = [NAMES[index] for index in figures.clean_accuracy.mean("seed").values.argsort()]
    button = opened.page.locator("th[data-key=clean] button")
    button.click()
    assert opened.names() == by_clean[::-1]
    assert opened.page.locator("th[data-key=clean]").get_attribute("aria-sort") == "descending"
    button.press("Enter")
    assert opened.names() == by_clean


@needs_browser
def test_the_table_is_searched_by_name_and_by_number(opened: Opened) -> None:
    opened.page.fill("#search", "pgd")
    assert opened.names() == ["PGD", synthetic.LONG[0]]
    means = synthetic.figures(NAMES, corruptions=["fog", "gaussian_noise"], points=20).clean_accuracy.mean("seed")
    opened.page.fill("#search", "clean>85")
    assert opened.names() == [name for name, mean in zip(NAMES, means.values, strict=True) if mean > 0.85]
    assert opened.page.text_content("#shown") == f"{len(opened.names())} of {len(NAMES)} systems"


@needs_browser
def test_a_row_opens_the_accuracies_by_corruption(opened: Opened) -> None:
    opened.page.locator("tr[data-system=V] .open").click()
    lines = opened.page.locator(".detail tbody tr").all_text_contents()
    assert [line[:5] for line in lines] == ["mean" + lines[0][4], "fog" + lines[1][3:5], "gauss"]
    clean = synthetic.figures(NAMES, corruptions=["fog", "gaussian_noise"], points=20).clean_accuracy.sel(system="V")
    assert f"{100 * float(clean.mean()):.1f}" in lines[0]


@needs_browser
def test_the_choice_of_systems_radius_corruption_and_scale_redraws_the_figures(opened: Opened) -> None:
    page, marks = opened.page, "svg.marks .mark-line path"
    count = opened.draw("alpha").locator(marks).count()
    row = page.locator("tr[data-system=P] .pick input")
    assert opened.redraw("alpha", lambda: row.uncheck()).locator(marks).count() < count
    row.check()
    first = opened.draw("points").inner_html()
    assert opened.redraw("points", lambda: page.select_option("[data-filter=radius]", "1.75")).inner_html() != first
    first = opened.draw("corruptions").inner_html()
    fog = opened.redraw("corruptions", lambda: page.select_option("[data-filter=corruption]", "fog")).inner_html()
    assert fog != first
    axis = opened.draw("alpha").locator(".role-axis-label").all_text_contents()
    changed = opened.redraw("alpha", lambda: page.uncheck("#log"))
    assert changed.locator(".role-axis-label").all_text_contents() != axis
    share = "percent of its largest value"
    assert "αₘₐₓ" in opened.redraw("alpha", lambda: page.select_option("[data-choice=alpha]", share)).text_content()


@needs_browser
def test_a_point_tells_its_numbers_under_the_mouse(opened: Opened) -> None:
    opened.draw("heat").locator(".mark-rect path").first.hover(force=True)
    tip = opened.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert {"system", "images", "accuracy"} <= set(tip.inner_text().split())


@needs_browser
def test_the_page_is_dark_where_the_reader_wants_it_dark(browser: Any, path: Path) -> None:
    opened = Opened(browser, path, dark=True)
    opened.draw("alpha")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert opened.page.evaluate(ground) == "rgb(20, 22, 26)"
    opened.redraw("alpha", lambda: opened.page.click("#theme"))
    assert opened.page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not opened.said
    opened.page.close()


@needs_browser
def test_a_phone_never_scrolls_sideways(browser: Any, path: Path) -> None:
    opened = Opened(browser, path, width=375)
    for name in ("alpha", "heat", "training"):
        opened.draw(name)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 375
    assert not opened.said
    opened.page.close()


def test_equal_results_give_equal_bytes_and_a_small_file(path: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again.html")
    assert again.read_bytes() == path.read_bytes()
    assert again.stat().st_size < 700_000


def test_names_of_users_are_text_and_never_markup(path: Path) -> None:
    text = path.read_text()
    assert "<script>window.harm" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;window.harm" in text


def test_nothing_on_the_page_points_outside_and_licences_are_kept(path: Path) -> None:
    text = path.read_text()
    assert 'src="http' not in text
    assert 'href="http' not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    for owner in ("University of Washington Interactive Data Lab", "Mike Bostock", "Simon Lydell"):
        assert owner in text


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    figures = synthetic.figures(["V", "P"])
    figures.attacked_accuracy[1, 0] = float("nan")
    figures.attacked_accuracy[1, 1] = float("nan")
    assert board.missing(figures) == ["No accuracy under attack of P (seed 0), P (seed 1)."]
    text = report.page(tmp_path / "page.html", figures[["clean_accuracy"]]).read_text()
    for words in ("No steepness was measured", "No accuracy on corrupted images was measured."):
        assert words in text


def test_the_verdict_is_yes_where_the_interval_says_so_and_undecided_with_few_systems() -> None:
    related = synthetic.figures(synthetic.names(12))
    related = related.assign(relative_performance=related.alpha_mean[..., 0, 0] / 10)
    assert board.verdict(related)[0].startswith("Yes: runs that are steeper lose more accuracy")
    opposite = related.assign(relative_performance=-related.relative_performance)
    assert board.verdict(opposite)[0].startswith("The other way round")
    assert board.verdict(related.isel(system=slice(4)))[0].startswith("Undecided")


def test_the_table_shows_means_over_seeds_with_their_range() -> None:
    figures = synthetic.figures(["V", "P"], seeds=3)
    (clean, *_) = board.columns(figures)
    values = clean.values.sel(system="V").values
    found = board.cell(values, clean.format)
    assert np.allclose(values, 100 * figures.clean_accuracy.sel(system="V"))
    assert float(found["value"]) == pytest.approx(float(values.mean()), rel=1e-3)
    assert found["range"] == f"{values.min():.1f} to {values.max():.1f}"
    assert json.loads(found["text"]) == pytest.approx(values.mean(), abs=0.05)


def of_two_constants() -> xarray.Dataset:
    """Results of two constants, at radii that differ; the talk's comes second."""
    figures = synthetic.figures(NAMES[:3], corruptions=["fog"], points=20)
    steepness = figures[[name for name, values in figures.items() if "constant" in values.dims]]
    others = steepness.assign_coords(constant=["slope of logits, linf to l2"], radius=figures.radius / 63)
    both = xarray.concat([others, steepness], "constant", join="outer", coords="minimal", compat="override")
    return xarray.merge([figures.drop_dims(["constant", "radius"]), both], join="outer", compat="override")


def test_the_verdict_of_several_constants_is_of_the_talks_at_its_smallest_radius() -> None:
    results = of_two_constants()
    found = report.frames.radii(results)
    assert list(found) == [synthetic.CONSTANT, "slope of logits, linf to l2"]
    assert found[synthetic.CONSTANT] == pytest.approx(synthetic.RADII)
    said = " ".join(board.verdict(results))
    assert "of probabilities" in said
    assert f"within r = {synthetic.RADII[0]:g}" in said
    assert "can be compared" not in said


@needs_browser
def test_only_radii_at_which_the_chosen_constant_was_measured_are_offered(browser: Any, tmp_path: Path) -> None:
    opened = Opened(browser, report.page(tmp_path / "page.html", of_two_constants()))
    opened.draw("points")
    offered = "options => options.filter(option => !option.disabled).map(option => Number(option.value))"
    radii = opened.page.locator("[data-filter=radius] option")
    assert radii.evaluate_all(offered) == pytest.approx(synthetic.RADII, rel=1e-3)
    opened.page.select_option("[data-filter=constant]", "slope of logits, linf to l2")
    expected = [radius / 63 for radius in synthetic.RADII]
    assert radii.evaluate_all(offered) == pytest.approx(expected, rel=1e-3)
    chosen = opened.page.locator("[data-filter=radius]").input_value()
    assert float(chosen) == pytest.approx(expected[0], rel=1e-3)
    assert opened.draw("points").locator("svg.marks .mark-line path").count() == 3
    assert not opened.said
