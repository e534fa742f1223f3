"""`make test-site`: the built site in a real browser, as a visitor has it: from its folder, offline.

Not part of `make test`: it needs `make site` and a Chromium. Screenshots are left in build/screenshots.
"""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import scipy.stats
import torch
from playwright.sync_api import Error, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE, SHOTS = ROOT / "build/site", ROOT / "build/screenshots"
sys.path.insert(0, str(ROOT / "workflow/site"))
import build_site  # noqa: E402

from innt_lib.explain import cam, metrics  # noqa: E402
from innt_lib.neighbors import Attack, Corruption  # noqa: E402
from innt_lib.results import runs  # noqa: E402
from innt_lib.system.tensors import MEAN, STD, standardise  # noqa: E402

PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MATHS = "[...document.querySelectorAll('.math')]"


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        installed = next(filter(None, map(shutil.which, BROWSERS)), None)
        try:  # Playwright's own if none is installed
            chromium = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error as error:
            pytest.exit(
                f"no browser to test in: install Chromium (apt-get install chromium) or let Playwright do it "
                f"({sys.executable} -m playwright install chromium); {str(error).splitlines()[0]}",
                returncode=1,
            )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page that fails the test if anything went wrong on it, or came from elsewhere."""
    wrong = []
    page = browser.new_page(viewport=DESKTOP)
    page.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(f"not loaded: {request.url[:200]}"))
    page.on(
        "request",
        lambda request: ours(request.url) or wrong.append(f"from elsewhere: {request.url}"),
    )
    yield page
    page.close()
    assert not wrong


def ours(url):
    return urlsplit(url).scheme in ("file", "blob", "data")


def shoot(page, name, *, whole=False):
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


@pytest.fixture(scope="session")
def anchors(browser):
    """The ids of every page."""
    page = browser.new_page()
    found = {}
    for name in PAGES:
        page.goto((SITE / name).as_uri(), wait_until="domcontentloaded")
        found[SITE / name] = set(
            page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        )
    page.close()
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_is_linked_and_fits_a_phone(page, anchors, name):
    page.goto((SITE / name).as_uri())
    links = page.evaluate("[...document.querySelectorAll('a[href]')].map(link => link.href)")
    for link in filter(ours, links):
        target = Path(unquote(urlsplit(link).path))
        assert target.is_file(), link
        if (anchor := unquote(urlsplit(link).fragment)) and target in anchors:
            assert anchor in anchors[target], link
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    if page.evaluate(f"{MATHS}.length"):
        page.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)")
        undrawn = (
            f"{MATHS}.filter(e => !e.querySelector('mjx-container svg')).map(e => e.textContent)"
        )
        assert page.evaluate(undrawn) == []
        assert page.locator("[data-mml-node=merror]").count() == 0
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]


def test_every_notebook_text_and_profile_is_a_page():
    sources = [
        *ROOT.glob("notebooks/*.ipynb"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("figures/*/*.ipynb"),
    ]
    wanted = {str(path.relative_to(ROOT).with_suffix(".html")) for path in sources}
    wanted |= {
        f"figures/{path.parent.name}/index.html" for path in ROOT.glob("figures/*/*claims.md")
    }
    wanted |= {f"reference/{path.parent.name}.html" for path in ROOT.glob("innt_lib/*/__init__.py")}
    assert wanted - {name for name in PAGES} - {"figures/here/index.html"} == set()


def test_the_search_finds_a_function_and_a_text(page):
    for words, there in (
        ("map_similarity", "reference/explain.html"),
        ("Quickshift", "readings.html"),
    ):
        page.goto(f"{(SITE / 'search.html').as_uri()}?q={words}")
        page.wait_for_selector("ul.search li a")
        hrefs = page.evaluate(
            "[...document.querySelectorAll('ul.search li a')].map(link => link.href)"
        )
        assert any(there in href for href in hrefs), hrefs


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize(
    "name", ["index", "notebooks/02_training", "figures/birds/index", "reference/explain"]
)
def test_it_looks_as_it_should(page, name, width, scheme):
    """For eyes; the one thing a machine sees is that text and ground differ."""
    page.set_viewport_size(width)
    page.emulate_media(color_scheme=scheme)
    page.goto((SITE / f"{name}.html").as_uri())
    page.wait_for_timeout(500)
    shoot(page, f"{name.replace('/', '-')}-{width['width']}-{scheme}")
    colours = page.evaluate(
        "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
    )
    dark = [sum(map(int, c.removeprefix("rgb(").rstrip(")").split(", "))) < 300 for c in colours]
    assert dark == ([True, False] if scheme == "light" else [False, True])


# --- the Play page


@pytest.fixture(scope="session")
def networks():
    grid, few = build_site.cast()
    return (
        [runs.load(run, "cpu") for run in grid],
        standardise(few.tensor()),
        torch.tensor(few.labels),
    )


@pytest.fixture
def play(page):
    page.goto((SITE / "docs/play.html").as_uri())
    settled(page)
    return page


def settled(page):
    page.wait_for_function("Play.shown && !Play.busy", polling=50)


def change(page, act):
    """Do something to a control; what is shown once it is settled, arrays as lists."""
    act()
    settled(page)
    return page.evaluate(
        "JSON.parse(JSON.stringify(Play.shown, (_, v) => v instanceof Float32Array ? [...v] : v))"
    )


def set_to(page, kind, strength):
    change(page, lambda: page.select_option("#play-kind", kind))
    return change(page, lambda: page.fill("#play-strength", str(strength)))


STATES = [
    ("gaussian", 0), ("gaussian", 0.15), ("neighborhood", 1.5), ("shot", 1), ("shot", 5),
    ("gaussian_blur", 2), ("gaussian_blur", 5), ("fgsm", 2), ("fgsm", 8.5),
]  # fmt: skip


def test_what_play_shows_is_what_pytorch_says(play, networks):
    models, images, labels = networks
    for picture, (kind, strength) in itertools.product((0, 7), STATES):
        change(play, lambda at=picture: play.locator("#play-pictures label").nth(at).click())
        shown = set_to(play, kind, strength)
        assert shown["state"] == {"picture": picture, "kind": kind, "strength": strength, "seed": 1}
        clean, label = images[picture : picture + 1], labels[picture : picture + 1]
        for network, look in zip(models, shown["looks"], strict=True):
            near = torch.tensor(look["neighbor"]).view_as(clean)
            wanted = [cam.explain("gradcam", network, x, label) for x in (clean, near)]
            for found, (maps, logits) in zip((look["clean"], look["near"]), wanted, strict=True):
                assert np.allclose(found["map"], maps.flatten(), atol=1e-3)
                assert np.allclose(found["chances"], logits.softmax(1)[0], atol=1e-4)
            similarity = metrics.map_similarity(wanted[0].maps, wanted[1].maps)
            found = np.nan if look["similarity"] is None else look["similarity"]  # JSON has no NaN
            assert found == pytest.approx(float(similarity), abs=1e-3, nan_ok=True)
            is_neighbor(kind, strength, clean, near, label, network)


def is_neighbor(kind, strength, clean, near, label, network):
    """The same as the library's, or drawn from the same distribution."""
    std, mean = (torch.tensor(values).view(3, 1, 1) for values in (STD, MEAN))
    if kind == "fgsm":
        wanted = Attack(strength)(clean, label, network)
        assert ((near - wanted).abs() < 1e-5).float().mean() > 0.999  # a gradient of 0 has no sign
    elif kind == "gaussian_blur":
        levels = (near - Corruption(kind, strength)(clean)).mul(std * 255).abs()
        rounded_otherwise = (levels > 0.01).float().mean()
        assert levels.max() < 1.01 and rounded_otherwise < 0.01
    elif kind == "shot":
        photons = {1: 60, 5: 3}[strength]
        counts = (near * std + mean) * photons
        below = counts < photons - 0.5
        assert ((counts - counts.round()).abs()[below] < photons / 255).all()  # but for 8 bits
        k = np.arange(photons)[:, None]  # what is above is clipped to 1
        chance = scipy.stats.poisson.pmf(k, ((clean * std + mean) * photons).flatten())
        expected = 1 - ((1 - k / photons) * chance).sum(0)
        assert abs(float(counts.mean()) / photons - expected.mean()) < 0.04
    elif kind == "gaussian" and strength:
        field = (near - clean) / (strength * (clean.max() - clean.min()))
        assert abs(float(field.mean())) < 0.1 and abs(float(field.std()) - 1) < 0.1
    elif kind == "neighborhood":
        field = (near / clean - 1) / strength
        assert float(field.abs().max()) < 1.01 and abs(float(field.std()) - 3**-0.5) < 0.03
    else:
        assert torch.allclose(near, clean, atol=1e-6)


def test_the_slider_changes_picture_maps_and_words(play):
    def seen():
        return play.evaluate(
            "[...document.querySelectorAll('#play-table canvas')].map(c => c.toDataURL())"
        )

    set_to(play, "gaussian", 0)
    before = seen()
    assert before[0] == before[4] and before[1:4] == before[5:8]  # the neighbour is the picture
    set_to(play, "gaussian", 0.4)
    after = seen()
    assert after[:4] == before[:4] and not set(after[4:]) & set(before[4:])
    play.wait_for_function(  # once the slider rests
        "document.getElementById('play-status').textContent.startsWith('Gaussian noise, 0.4: baseline')"
    )
    play.wait_for_function("document.querySelectorAll('#play-curves svg').length == 2")


def test_play_by_keyboard_alone(play):
    play.focus("#play-pictures input:checked")
    change(play, lambda: play.keyboard.press("ArrowRight"))
    assert play.evaluate("Play.state.picture") == 1
    play.focus("#play-strength")
    shown = change(play, lambda: play.keyboard.press("ArrowRight"))
    assert shown["state"]["strength"] == pytest.approx(0.16)
    assert play.get_attribute("#play-strength", "aria-valuetext").startswith("0.16 ")
    play.focus("#play-again")
    assert change(play, lambda: play.keyboard.press("Enter"))["state"]["seed"] == 2
    names = play.evaluate(
        "[...document.querySelectorAll('#play-body canvas[role=img]')].map(c => c.ariaLabel)"
    )
    assert len(names) == 8 and all(names)


def test_a_picture_of_ones_own_and_a_file_that_is_none(play, networks):
    models, *_ = networks
    own, bad = ROOT / "figures/birds/fig05_dataset.png", ROOT / "README.md"
    play.set_input_files("#play-file", own)
    play.wait_for_function(
        "document.getElementById('play-truth').textContent.includes('no known class')"
    )
    shown = change(play, lambda: None)
    for network, look in zip(models, shown["looks"], strict=True):
        picture = torch.tensor(play.evaluate("[...PLAY.pictures.at(-1).pixels]")).view(1, 3, 32, 32)
        assert look["label"] == int(network(picture).argmax())
    play.set_input_files("#play-file", bad)
    play.wait_for_function(
        "document.getElementById('play-status').textContent.includes('README.md is no picture')"
    )


def test_play_looks_as_it_should(play):
    set_to(play, "gaussian", 0.3)
    play.wait_for_selector("#play-curves svg")
    for size, scheme in itertools.product((DESKTOP, PHONE), ("light", "dark")):
        play.set_viewport_size(size)
        play.emulate_media(color_scheme=scheme)
        shoot(play, f"play-{size['width']}-{scheme}", whole=True)
        assert play.evaluate("document.scrollingElement.scrollWidth") <= size["width"]


def test_how_long_a_change_takes(play):
    """Printed, not judged: machines differ."""
    for kind, most in (("gaussian", 0.5), ("gaussian_blur", 5), ("fgsm", 15)):
        times = [set_to(play, kind, most * i / 5)["milliseconds"] for i in (1, 2, 3, 4, 5) * 2]
        print(f"\n{kind}: {np.median(times):.0f} ms a change, {max(times):.0f} at most")
