"""`python -m drawbar_wiki_search.indexing`: the same as `drawbar-wiki-index`."""

from __future__ import annotations

from drawbar_wiki_search.indexing.command import main

if __name__ == "__main__":  # the processes that convert markup import this module too
    main()
