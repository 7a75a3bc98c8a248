"""The built pages hold no dead link, and ask no other host for anything."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority

# What a browser fetches by itself, by tag; anything else it follows when asked to.
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src"}


class Links(HTMLParser):
    """Ids, links and what is fetched, of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag leads to."""
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        if FETCHED.get(tag) in values and values.get("rel") != "canonical":
            self.fetched.append(values[FETCHED[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@event_priority(-100)
def on_post_build(*, config: Any) -> None:
    """Look at all pages; any fault is an error."""
    site = Path(config.site_dir)
    pages = {p: Links(p.read_text("utf-8")) for p in site.rglob("*.html")}
    faults = []
    for path, page in pages.items():
        for link in page.links + page.fetched:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.fetched and parts.scheme != "data":
                    faults.append(f"{path.relative_to(site)} fetches {link}")
                continue
            target = (
                (path.parent / unquote(parts.path)).resolve() if parts.path else path
            )
            if path.name == "404.html" and parts.path.startswith("/"):
                target = site / unquote(parts.path).lstrip("/")
            if target.is_dir():
                target /= "index.html"
            known = pages.get(target)
            anchor = unquote(parts.fragment)
            if not target.exists():
                faults.append(f"{path.relative_to(site)} leads to {link}: no such file")
            elif known and anchor and anchor not in known.ids | {"__skip"}:
                faults.append(
                    f"{path.relative_to(site)} leads to {link}: no such place"
                )
    if faults:
        raise PluginError("\n".join(sorted(set(faults))[:40]))
