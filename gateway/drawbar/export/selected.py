"""An export of what was chosen among all sessions that are fit: the store is gone through twice, first to see what
there is, and then to write what was chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from drawbar.errors import ConfigurationError
from drawbar.export.choice import Order, order
from drawbar.export.duplicates import SampleReader, distinct, unlike
from drawbar.export.engine import Export, Listener, Wanted
from drawbar.export.format import PairFormat
from drawbar.export.sampling import Read, Sampler
from drawbar.export.selecting import Unit, capped, mixed, selected, unit
from drawbar.export.sides import SIDES, sides
from drawbar.export.survey import Seen, Survey, tasks_of
from drawbar.export.task_filter import TaskRewards, emptied_by, meets
from drawbar.record.facts import FactReader
from drawbar.record.store import Store


def begin_selected(store: Store, wanted: Wanted) -> Export:
    """The export of what is chosen.

    Raises:
        ConfigurationError: a share or a number in the choice that cannot be.
    """
    share = wanted.choice.split
    if share is not None and not 0 < share < 1:
        raise ConfigurationError(f"The part of a split that is to test with is between 0 and 1, not {share:g}.")
    if isinstance(wanted.format, PairFormat):
        from drawbar.export.pair_export import PairExport

        return PairExport(store, wanted, wanted.format)
    return SelectedExport(store, wanted)


class SelectedExport(Export):
    """Sessions that were chosen. Blocking; not to be shared between threads."""

    def __init__(self, store: Store, wanted: Wanted) -> None:
        super().__init__(store, wanted)
        self._units: list[Unit] | None = None
        self._order: Order = order(wanted.seed or 0)
        self._rollouts: dict[str, TaskRewards] = {}
        if wanted.choice.split is not None:
            self.sides = SIDES

    def _ids(self, side: str, listen: Listener | None) -> Sequence[str]:
        return [id for unit in self._of_side(side, listen) for id in unit.sessions]

    def _is_known(self, read: Read) -> bool:
        return False  # what was chosen has been compared

    def _tell(self, read: Read) -> str | None:
        for sample in read.samples:
            sample.rollouts = self._rollouts.get(read.facts.id)
        return super()._tell(read)

    def _of_side(self, side: str, listen: Listener | None) -> list[Unit]:
        if self._units is None:
            self._units = self._chosen(listen)
        return [unit for unit in self._units if unit.side == side]

    def _chosen(self, listen: Listener | None) -> list[Unit]:
        wanted = self._wanted
        ids = self._facts.ids(wanted.filter)
        self.tally.meant = len(ids)
        sampler = Sampler(self._store, self._needs & {"branches"}, wanted.extent)
        survey = Survey(self._store, sampler, wanted.choice, frozenset(self._needs), wanted.waived, self._fall)
        survey.read(ids, (lambda done: listen(done, len(ids))) if listen is not None else (lambda _: None))
        seen = self._fit(survey, SampleReader(FactReader(self._store), sampler))
        side_of = self._placed(survey, seen)
        seen = self._left("torn", seen, [each for each in seen if each.id in side_of])
        units = self._made(seen, side_of)
        return self._few(units)

    def _fit(self, survey: Survey, reader: SampleReader) -> list[Seen]:
        """Sessions that are chosen by what they are."""
        choice, seen = self._wanted.choice, survey.seen
        if choice.tasks.condition is not None:
            meant = [meets(task, choice.tasks.condition) for task in survey.tasks]
            if survey.tasks and not any(meant):
                self.emptied = emptied_by(choice.tasks, survey.tasks)
            seen = self._left("group", seen, [each for each in seen if meant[each.task]])
        apart = not self._needs.isdisjoint(("pairs", "labels"))
        if choice.dedupe.exact:
            seen = self._left("duplicate", seen, distinct(seen, by_reward=apart))
        if choice.dedupe.near is not None:
            seen = self._left("near_duplicate", seen, unlike(seen, reader, choice.dedupe.near, by_reward=apart))
        if "task" in self._needs:
            self._rollouts = {each.id: survey.tasks[each.task] for each in seen}
        return self._left("not_selected", seen, selected(seen, choice, self._order))

    def _placed(self, survey: Survey, seen: Sequence[Seen]) -> dict[str, str]:
        share = self._wanted.choice.split
        if share is None:
            return dict.fromkeys((each.id for each in seen), "")
        return dict(sides(seen, survey.hashes, share))

    def _made(self, seen: Sequence[Seen], side_of: dict[str, str]) -> list[Unit]:
        if "task" not in self._needs:
            return [unit(each, side_of[each.id]) for each in seen]
        firsts = [task[0] for task in tasks_of(seen)]
        self._left("same_task", seen, firsts)
        return [unit(each, side_of[each.id]) for each in firsts]

    def _few(self, units: list[Unit]) -> list[Unit]:
        """Of all that could be taken as much as is wanted, in the order in which it is written."""
        choice, drawn = self._wanted.choice, self._order
        most = choice.per_task
        units = self._without("per_task", units, capped(units, most, lambda each: (each.task, each.side), drawn))
        few = capped(units, choice.per_environment, lambda each: each.environment, drawn)
        units = self._without("per_environment", units, few)
        mixture = mixed(units, choice.mix, drawn)
        if units and not mixture:
            self.emptied = _unmixed(units, choice.mix)
        units = self._without("mix", units, mixture)
        if self._wanted.seed is not None:
            units.sort(key=lambda each: drawn(each.name))
        return self._without("enough", units, units[: self._wanted.limit])

    def _fall(self, rule: str, count: int) -> None:
        self.tally.looked_at += count
        self.tally.fallen[rule] += count

    def _left(self, rule: str, before: Sequence[Seen], after: list[Seen]) -> list[Seen]:
        self._fall(rule, len(before) - len(after))
        return after

    def _without(self, rule: str, before: Sequence[Unit], after: list[Unit]) -> list[Unit]:
        self._fall(rule, len(sessions_of(before) - sessions_of(after)))
        return after


def _unmixed(units: Iterable[Unit], weights: Mapping[str, float]) -> str:
    there = Counter(unit.environment for unit in units)
    missing = ", ".join(name for name in weights if not there[name]) or "all of them"
    known = ", ".join(f"{name} ({count:,})" for name, count in sorted(there.items(), key=str) if name is not None)
    return (
        f"The mixture leaves nothing: too little is left of {missing} for one of each share. There are: "
        f"{known or 'no sessions of any environment'}."
    )


def sessions_of(units: Iterable[Unit]) -> set[str]:
    """The sessions that are in any of them."""
    return {id for unit in units for id in unit.sessions}
