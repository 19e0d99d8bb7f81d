"""What engines of the tables port must do besides that have branches."""

from __future__ import annotations

import pytest

from soundstage.core.errors import DeadlineExceeded, InvalidArgument, NotFound, PreconditionFailed
from soundstage.engines.tables.filters import equal
from soundstage.engines.tables.port import At, TableBranches, Tables
from soundstage.testing.tables.samples import film, ids, rows
from soundstage.testing.tables.suite.main import TablesSuite


class BranchingTablesSuite(TablesSuite):
    """The same, and more, for engines with `TableCapability.BRANCHES`."""

    async def test_a_branch_is_prepared_and_then_published(self, films: Tables) -> None:
        branches = branches_of(films)
        (first,) = await films.snapshots("films")
        await branches.point("films", "audit", first.id)
        prepared = await films.append("films", rows(film(9)), branch="audit")
        await films.delete("films", equal("id", 1), branch="audit")
        assert (await ids(films), await ids(films, at=At(branch="audit"))) == ([1, 2, 3, 4], [2, 3, 4, 9])
        head = (await films.info("films")).branches["audit"]
        assert [each.id for each in await films.snapshots("films", "audit")][1:] == [prepared.id, first.id]
        await branches.point("films", "main", head, expect=first.id)
        assert await ids(films) == [2, 3, 4, 9]
        assert (await branches.drop_branch("films", "audit"), await branches.drop_branch("films", "audit")) == (
            True,
            False,
        )
        assert (await films.info("films")).branches == {"main": head}

    async def test_a_branch_goes_where_it_is_pointed_if_it_is_where_it_is_expected(self, films: Tables) -> None:
        branches = branches_of(films)
        (first,) = await films.snapshots("films")
        second = await films.append("films", rows(film(9)))
        with pytest.raises(PreconditionFailed):
            await branches.point("films", "main", first.id, expect=first.id)
        with pytest.raises(PreconditionFailed):
            await branches.point("films", "audit", first.id, expect=first.id)
        await branches.point("films", "main", first.id, expect=second.id)
        await branches.point("films", "audit", second.id, expect=0)
        assert (await ids(films), await ids(films, at=At(branch="audit"))) == ([1, 2, 3, 4], [1, 2, 3, 4, 9])

    async def test_what_is_no_branch_is_refused(self, films: Tables) -> None:
        branches = branches_of(films)
        with pytest.raises(NotFound):
            await branches.point("films", "audit", 12345)
        with pytest.raises(InvalidArgument):
            await branches.drop_branch("films", "main")
        with pytest.raises(InvalidArgument):
            await branches.point("films", "A B", 1)
        with pytest.raises(NotFound):
            await films.append("films", rows(film(9)), branch="nothing")

    async def test_a_branch_stays_where_it_is_once_the_deadline_has_passed(self, films: Tables) -> None:
        branches = branches_of(films)
        (first,) = await films.snapshots("films")
        await branches.point("films", "audit", first.id)
        for call in (
            branches.point("films", "other", first.id, deadline_ns=0),
            branches.drop_branch("films", "audit", deadline_ns=0),
        ):
            with pytest.raises(DeadlineExceeded):
                await call
        assert (await films.info("films")).branches == {"main": first.id, "audit": first.id}


def branches_of(tables: Tables) -> TableBranches:
    """The engine, as one that has branches."""
    assert isinstance(tables, TableBranches)
    return tables
