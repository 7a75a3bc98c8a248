"""The reference: pages of every public name, read off the package."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

import eventax

# Classes of these modules have a page each, the names of others share one.
BY_NAME = ("evnn", "neuron_models")
# Those of the package itself: networks have theirs in `eventax.evnn`.
CLASSES = sorted(
    name
    for name in set(eventax.__all__) - set(eventax.evnn.__all__)
    if inspect.isclass(getattr(eventax, name))
)
PICTURES = Path(__file__).parents[1] / "plots"


def modules() -> list[str]:
    """Public modules, in the order of the reference."""
    rest = {n for n in eventax.__all__ if inspect.ismodule(getattr(eventax, n))}
    return [*BY_NAME, *sorted(rest - set(BY_NAME))]


def public_names() -> dict[str, str]:
    """The page, under docs, of each public name."""
    pages = {f"eventax.{name}": f"reference/{name}.md" for name in CLASSES}
    for name in modules():
        for part in importlib.import_module(f"eventax.{name}").__all__:
            page = part if name in BY_NAME else name
            pages[f"eventax.{name}.{part}"] = f"reference/{page}.md"
    return pages


def on_config(config: Any) -> Any:
    """Add the pages to the navigation."""
    entries = next(e["Reference"] for e in config.nav if "Reference" in e)
    networks = ["EvNN", "FFEvNN", *CLASSES]
    models = importlib.import_module("eventax.neuron_models").__all__
    models = sorted(models, key=lambda name: (name != "NeuronModel", name.lower()))
    entries[1:1] = [
        {"Networks": [{n: f"reference/{n}.md"} for n in networks]},
        {"Neuron models": [{n: f"reference/{n}.md"} for n in models]},
        *({n: f"reference/{n}.md"} for n in modules() if n not in BY_NAME),
    ]
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> dict[str, str]:
    """The reference in Markdown, by path; an undocumented name is an error."""
    found = {"reference/index.md": _index()}
    for name in modules():
        module = importlib.import_module(f"eventax.{name}")
        if name in BY_NAME:
            for part in module.__all__:
                found[f"reference/{part}.md"] = _of_class(module, part)
        else:
            found[f"reference/{name}.md"] = _of_module(module)
    for name in CLASSES:
        found[f"reference/{name}.md"] = _of_class(eventax, name)
    return found


def _index() -> str:
    text = (Path(__file__).parent / "reference.md").read_text("utf-8")
    for name in modules():
        module = importlib.import_module(f"eventax.{name}")
        text += f"\n## eventax.{name}\n\n{_first(module.__doc__)}\n\n"
        text += "| name | what |\n|---|---|\n"
        for part in module.__all__:
            page = part if name in BY_NAME else name
            about = _first(_documented(module, part))
            text += f"| [`{part}`]({page}.md#eventax.{name}.{part}) | {about} |\n"
    return text


def _of_class(module: Any, name: str) -> str:
    cls, path = getattr(module, name), f"{module.__name__}.{name}"
    _documented(module, name)
    if not inspect.isclass(cls):  # a wrapper, which makes classes
        return _directive(path, heading_level=1, show_root_full_path=True)
    members = [m for m in vars(cls) if not m.startswith("_")]
    if issubclass(cls, eventax.neuron_models.NeuronModel) and name != "NeuronModel":
        members = []  # what a built-in model overrides is said where it is explained
    return _directive(path, members, heading_level=1, show_root_full_path=True)


def _of_module(module: Any) -> str:
    name = module.__name__.rpartition(".")[2]
    text = f"# {module.__name__}\n\n{inspect.cleandoc(module.__doc__)}\n\n"
    for part in module.__all__:
        _documented(module, part)
        text += _directive(f"{module.__name__}.{part}")
        if name == "plot":
            shown = sorted(PICTURES.glob(f"{part}*.png"))
            if not shown:
                raise PluginError(f"eventax.plot.{part} has no picture in docs/plots.")
            for picture in shown:
                words = picture.stem.replace("_", " ")
                text += f"![{words}](../plots/{picture.name}){{ .plot }}\n\n"
    return text


def _directive(path: str, members: list[str] | None = None, **options: Any) -> str:
    if members is not None:
        options["members"] = members or False
    lines = [f"::: {path}", *(["    options:"] if options else [])]
    lines += [f"      {name}: {value}" for name, value in options.items()]
    return "\n".join(lines) + "\n\n"


def _documented(module: Any, name: str) -> str:
    value = getattr(module, name)
    if inspect.isclass(value) or inspect.isfunction(value):
        about = value.__doc__
    else:
        about = _of_value(module, name)
    if not about:
        raise PluginError(f"{module.__name__}.{name} has no docstring.")
    return about


def _of_value(module: Any, name: str) -> str:
    """A value's docstring stands below it in the source."""
    found = griffe.load(f"{module.__name__}.{name}", resolve_aliases=True)
    return found.docstring.value if found.docstring else ""


def _first(about: str) -> str:
    """The first sentence or line of a docstring."""
    return inspect.cleandoc(about).split("\n\n")[0].replace("\n", " ")


def on_post_build(*, config: Any) -> None:
    """Every public name is where the reference says."""
    for path, page in public_names().items():
        built = Path(config.site_dir, page).with_suffix(".html")
        if f'id="{path}"' not in built.read_text("utf-8"):
            raise PluginError(f"{path} is not on its page {page}.")
