"""What commands that take a filter share: the option, and what is said when it means nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from drawbar.cli.output import counted

if TYPE_CHECKING:
    from drawbar.record.filter import Filter
    from drawbar.record.store import Store


def _columns(incomplete: str) -> list[str]:
    """The beginnings of a comparison, for a shell that completes the last word of a filter."""
    from drawbar.record.filter_columns import COLUMNS

    before, space, last = incomplete.rpartition(" ")
    return [f"{before}{space}{name}" for name in COLUMNS if name.startswith(last)]


Where = Annotated[
    str,
    typer.Option(
        "--where",
        "-w",
        metavar="FILTER",
        help="Which sessions: `reward < 0.5 and model = gpt-5-mini and started > 7d`. `drawbar sessions --columns` "
        "lists what can be asked for. Default: all.",
        autocompletion=_columns,
        show_default=False,
    ),
]


def nothing_meant(store: Store, filter: Filter) -> str:
    """Why there is no session: which clause of the filter leaves none."""
    sessions = store.count()
    if not sessions:
        return "No sessions yet."
    total = f"the filter means none of {counted(sessions, 'session')}."
    if len(filter.clauses) == 1:
        return f"No session meets `{filter.clauses[0].text}`: {total}"
    clauses = store.explain(filter)
    said = next((f"No session meets `{clause.text}`" for clause in clauses if not clause.alone), None)
    if said is None:
        last = next(number for number, clause in enumerate(clauses) if not clause.so_far)
        before = clauses[last - 1].so_far
        said = (
            f"None of the {counted(before, 'session')} that the filter leaves before it meets `{clauses[last].text}` "
            f"({counted(clauses[last].alone, 'session')} alone)"
        )
    return f"{said}: {total}"
