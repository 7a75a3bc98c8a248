"""The documentation site as people see it: every page in a browser, wide and narrow.

Needs a built site (`make docs`), playwright (extra `docs`) and an installed Chromium.
"""

import functools
import http.server
import shutil
import threading
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from marks import slow

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "out" / "site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDTHS = (1280, 390)
SECONDS = 120  # for one step, where the machine does other things too

if not PAGES:
    pytest.skip(f"no site in {SITE}: `make docs` builds it", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is missing: pip install 'eventax[docs]'"
)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not tell what it serves."""

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def host():
    """Address of a server of the site on this machine."""
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as run:
        own = run.chromium.executable_path
        found = [path for name in BROWSERS if (path := shutil.which(name))]
        found += [own] if Path(own).exists() else []
        if not found:
            pytest.skip(
                "no Chromium: `apt install chromium`, or `playwright install chromium`"
            )
        # Without its sandbox, which containers do not allow. It sees our pages only.
        chromium = run.chromium.launch(
            executable_path=found[0], args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser):
    """One for all, which loads scripts and fonts once."""
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture
def page(context, host):
    """An empty page, whose `faults` collect what goes wrong in it."""
    page = context.new_page()
    page.faults = faults = []
    page.on("console", lambda m: m.type == "error" and faults.append(m.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "requestfailed",  # not: given up, since the page was left
        lambda request: (
            request.failure == "net::ERR_ABORTED"
            or faults.append(f"failed: {request.url}, {request.failure}")
        ),
    )
    page.on(
        "request",
        lambda request: (
            request.url.startswith((host, "data:", "blob:"))
            or faults.append(f"another host: {request.url}")
        ),
    )
    page.on(
        "response",
        lambda got: got.status < 400 or faults.append(f"{got.status}: {got.url}"),
    )
    yield page
    page.close()


LOOK = """async () => {
  await document.fonts.ready;
  const content = document.querySelector('.md-content') || document.body;
  const plain = content.cloneNode(true);
  plain.querySelectorAll('code, pre, math, script').forEach(x => x.remove());
  const images = [...document.images];
  await Promise.allSettled(images.map(image => image.decode()));
  const formulas = [...content.querySelectorAll('math')];
  const wide = document.documentElement.clientWidth;
  const inside = x => { // of something that is scrolled by itself
    for (let e = x.parentElement; e; e = e.parentElement)
      if (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX)) return true;
    return false;
  };
  return {
    raw: plain.innerText.match(/\\$\\$|\\\\[(\\[]|\\\\(frac|tau|dot|lambda)/g) || [],
    missing: images.filter(i => !i.naturalWidth).map(i => i.src),
    unset: formulas.filter(f => !(f.getBoundingClientRect().height > 4)).length,
    font: !formulas.length || document.fonts.check('16px "STIX Two Math"'),
    wide: document.documentElement.scrollWidth - wide,
    who: [...document.querySelectorAll('body *')].filter(e =>
      e.getBoundingClientRect().right > wide + 1 && !inside(e)
      && e.checkVisibility()).slice(0, 3).map(e => e.outerHTML.slice(0, 100)),
    text: content.innerText.length,
  };
}"""


def row(path):
    """Listings of sources, of which the widest stands for all, are slow."""
    listing = path.startswith("source/") and not path.endswith("/_evnn.html")
    return slow(path) if listing else path


@pytest.mark.parametrize("path", [row(path) for path in PAGES])
def test_page(page, host, path):
    page.goto(host + path)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        seen = page.evaluate(LOOK)
        assert not page.faults
        assert seen["text"] > 10
        assert not seen["raw"], "a formula that is not set"
        assert not seen["unset"]
        assert seen["font"]
        assert not seen["missing"], "pictures"
        assert seen["wide"] <= 0, f"wider than {width} pixels: {seen['who']}"


@pytest.mark.parametrize("width", WIDTHS)
def test_search_finds_refractory(page, host, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(host + "index.html")
    if width < 960:
        page.click("label[for=__search] >> visible=true")
    page.fill(".md-search__input", "refractory")
    page.wait_for_selector(".md-search-result__link")
    found = page.eval_on_selector_all(
        ".md-search-result__link", "links => links.map(link => link.href)"
    )
    assert any("reference/Refractory.html" in link for link in found)
    page.click(".md-search-result__link >> nth=0")
    page.wait_for_url("**h=refractory*")
    assert "refractory" in page.inner_text(".md-content").lower()
    assert not page.faults


def test_navigation_reaches_each_page(page, host):
    page.goto(host + "index.html")
    get = "links => links.map(link => link.href)"
    waiting = page.eval_on_selector_all(".md-nav--primary a[href]", get)
    in_navigation = {urldefrag(link)[0] for link in waiting}
    assert len(in_navigation) > 40
    reached = set()
    while waiting:
        address = urldefrag(waiting.pop())[0]
        if address in reached or not address.startswith(host):
            continue
        reached.add(address)
        if address.endswith(".html"):
            body = page.request.get(address).text()
            page.set_content("<html></html>")
            links = page.evaluate(
                """text => [...new DOMParser().parseFromString(text, 'text/html')
                .querySelectorAll('a[href]')].map(a => a.getAttribute('href'))""",
                body,
            )
            waiting += [urljoin(address, link) for link in links]
    lost = {host + path for path in PAGES if path != "404.html"} - reached
    assert not lost


def test_drawer_on_a_phone(page, host):
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(host + "index.html")
    page.click("label[for=__drawer] >> visible=true")
    # It opens at the section of the page.
    page.click(".md-nav--primary a:has-text('Concepts in pictures') >> visible=true")
    page.wait_for_url("**/start/concepts.html")
    assert not page.faults


def test_pictures_of_several_parts_stay_legible(page, host):
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(host + "results/yin_yang_200_hidden.html")
    picture, room = page.evaluate(
        """() => [document.querySelector('.md-content img').clientWidth,
        document.querySelector('.md-content p').clientWidth]"""
    )
    assert picture > 600 > room  # and is scrolled, as test_page sees


def test_a_result_is_told_as_a_whole(page, host):
    page.goto(host + "reference/AMOS.html")
    told = page.locator("p:has-text('Returns:') + ul > li")
    assert told.count() == 1
    assert "arguments. A model" in told.inner_text()  # which were two lines


def test_a_wrong_address_leads_on(page, host):
    page.goto(host + "404.html")
    page.click(".md-content a:has-text('reference')")
    page.wait_for_url("**/reference/index.html")
    assert not page.faults


def test_dark_where_the_system_is(browser, host):
    for scheme, wanted in (("dark", "slate"), ("light", "default")):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(host + "index.html")
        assert page.get_attribute("body", "data-md-color-scheme") == wanted
        context.close()
