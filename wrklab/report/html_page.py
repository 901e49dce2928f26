"""What every HTML page has: one file without a request to any network, its scripts and styles within it."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wrklab.paths import CACHE_DIR
from wrklab.report.escaping import html, html_json
from wrklab.results.run_folder import write_file

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """The frame of a page. `documents` are JSON for its script, by the id of their element."""

    title: str
    documents: Mapping[str, Markup] = field(default_factory=dict)
    has_charts: bool = False

    @property
    def style(self) -> Markup:
        """The style sheet."""
        return _own("style.css")

    @property
    def scripts(self) -> Sequence[Markup]:
        """Vega's libraries where there is a chart to draw, then the page's own script."""
        return [*([_vega()] if self.has_charts else []), _own("page.js")]

    @property
    def policy(self) -> str:
        """A content security policy: nothing is loaded, and no script runs but these, whatever a text contains.

        `unsafe-eval`: Vega compiles its expressions.
        """
        hashes = [f"'sha256-{_digest(script)}'" for script in self.scripts]
        return (
            f"default-src 'none'; script-src {' '.join(hashes)} 'unsafe-eval'; style-src 'unsafe-inline'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        )


def write_page(path: Path, template: str, page: Page, **values: Any) -> None:  # noqa: ANN401  what a template shows
    """Renders a template into a file. Every text in it is escaped by report/escaping.py. Raises StoreError."""
    write_file(path, _environment().get_template(template).render(page=page, **values))


def documents(**found: object) -> dict[str, Markup]:
    """JSON documents for Page.documents."""
    return {name: html_json(data) for name, data in found.items()}


@functools.cache
def _environment() -> Environment:
    """Jinja with our own escaping in place of its own: characters that cannot be seen are shown as well."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if callable(value) else html("" if value is None else value),
    )


def _own(name: str) -> Markup:
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704  a file of ours


@functools.cache
def _vega() -> Markup:
    """Vega, Vega-Lite and vega-embed as one script, from vl-convert, which bundles them anew in about a second.

    So it is kept in .cache/, by vl-convert's version.
    """
    import vl_convert

    path = CACHE_DIR / f"vega_{version('vl-convert-python')}.js"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704  of the installed library


@functools.cache
def _digest(script: Markup) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
