"""`invoke claims`."""

from __future__ import annotations

from wrklab.articles.claims import judge_articles
from wrklab.articles.consistency import find_inconsistencies
from wrklab.articles.library import read_library
from wrklab.catalogue.catalogue import read_catalogue
from wrklab.cli.verbs import print_json, results
from wrklab.report import claims as layout


def claims(suite: str, *, as_json: bool) -> None:
    """Every claim next to its article's own figures, and what does not fit within the articles. Needs no run."""
    catalogue = read_catalogue()
    library = read_library(catalogue)
    chosen = catalogue.suite(suite).name if suite else None
    found = [result for result in judge_articles(library) if chosen in {None, result.suite}]
    articles = {result.claim.source for result in found}
    wrong = [one for one in find_inconsistencies(library) if one.article in articles]
    if as_json:
        print_json(
            {
                "claims": [layout.article_data(result) for result in found],
                "article_inconsistencies": [layout.inconsistency_data(one) for one in wrong],
            }
        )
        return
    layout.render_articles(found, wrong, results())
