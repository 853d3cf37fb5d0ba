"""The blocks of a submission: of all its tasks, few, and the same for every reader."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cjnode.records import partition
from cjnode.records.partition import LARGEST_BLOCK, MOST_BLOCKS, Partition

SIZES = st.tuples(st.integers(1, 5000), st.integers(1, 50))


def spans(shared: Partition, cuts: list[int]) -> dict[int, range]:
    """Every block's places, those that begin at a cut included."""
    numbers = [*range(1, partition.count(shared) + 1)]
    numbers += [partition.cut_number(shared, place) for place in cuts]
    return {
        number: range(partition.begin(shared, number), partition.end(shared, number, cuts))
        for number in numbers
    }


@given(SIZES, st.data())
def test_each_task_is_in_one_block_wherever_blocks_were_cut(
    sizes: tuple[int, int], data: st.DataObject
) -> None:
    tasks, workers = sizes
    shared = data.draw(st.sampled_from([partition.factored(tasks, workers), partition.equal(tasks, workers)]))
    begins = {partition.begin(shared, number) for number in range(1, partition.count(shared) + 1)}
    inner = list(data.draw(st.sets(st.integers(1, max(1, tasks - 1)), max_size=20)))
    cuts = sorted(place for place in inner if place not in begins and place < tasks)
    found = spans(shared, cuts)
    assert sorted(place for places in found.values() for place in places) == list(range(tasks))
    assert all(found.values())
    for number, places in found.items():
        assert {partition.block_at(shared, place, cuts) for place in places} == {number}
    assert partition.cuts_of(shared, list(found)) == cuts


@given(SIZES)
def test_blocks_become_smaller_and_are_few(sizes: tuple[int, int]) -> None:
    tasks, workers = sizes
    shared = partition.factored(tasks, workers)
    own = [size for size, _ in shared.rounds]
    assert own == sorted(own, reverse=True)
    assert own[0] <= LARGEST_BLOCK
    assert partition.count(shared) <= (MOST_BLOCKS if workers <= 500 else 8 * workers)


@pytest.mark.parametrize("workers", [1, 2, 64, 500])
def test_a_million_tasks_have_less_than_five_thousand_files(workers: int) -> None:
    shared = partition.factored(1_000_000, workers)
    assert 3 * partition.count(shared) < 5000
    assert len(shared.rounds) < 20


@given(SIZES)
def test_elements_begin_with_blocks_of_their_own(sizes: tuple[int, int]) -> None:
    tasks, workers = sizes
    shared = partition.factored(tasks, workers)
    elements = min(workers, partition.count(shared))
    first = [partition.own_block(shared, element, elements) for element in range(1, elements + 1)]
    assert len(set(first)) == elements
    assert partition.first_elements(shared, first, elements) == {
        block: element for element, block in enumerate(first, 1)
    }


@given(SIZES, st.sets(st.integers(1, 400), max_size=20))
def test_spans_are_the_blocks_of_all_places(sizes: tuple[int, int], at: set[int]) -> None:
    shared = partition.factored(*sizes)
    cuts = sorted(place for place in at if place < shared.tasks)
    found = list(partition.spans(shared, cuts))
    assert [place for _, start, stop in found for place in range(start, stop)] == list(range(shared.tasks))
    for block, start, stop in found:
        assert {partition.block_at(shared, place, cuts) for place in range(start, stop)} == {block}
        assert partition.end(shared, block, cuts) == stop


def test_an_intent_names_rounds_or_the_size_of_equal_blocks() -> None:
    assert partition.of_intent({"rounds": [[2, 3], [1, 1]]}, 7) == Partition(7, ((2, 3), (1, 1)))
    assert partition.of_intent({"block": 3}, 7) == Partition(7, ((3, 2), (1, 1)))
    for rounds in ([[2, 3]], [[0, 1], [7, 1]]):
        with pytest.raises(ValueError, match="not of 7 tasks"):
            partition.of_intent({"rounds": rounds}, 7)
    with pytest.raises(ValueError, match="no block"):
        partition.begin(Partition(2, ((1, 2),)), 4)


@given(st.integers(1, 3000), st.integers(0, 2**48))
def test_an_order_has_each_task_once_and_any_beginning_lies_evenly_among_all(tasks: int, seed: int) -> None:
    order = partition.shuffled(tasks, seed)
    assert order == partition.shuffled(tasks, seed)
    run = partition.in_order(list(range(tasks)), order)
    assert sorted(run) == list(range(tasks))
    if tasks >= 1000:
        first = sorted(run[:100])
        gaps = [after - before for before, after in itertools.pairwise(first)]
        assert max(gaps) < 5 * tasks / 100


def test_an_order_of_another_number_of_tasks_is_refused() -> None:
    assert partition.in_order([3, 5, 9], None) == [3, 5, 9]
    assert partition.in_order([3, 5, 9], [2, 1]) == [5, 3, 9]
    with pytest.raises(ValueError, match="none of 3 tasks"):
        partition.in_order([3, 5, 9], [3, 1])
