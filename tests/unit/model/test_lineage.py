import pytest

from kinesis_source.model.shards import HASH_KEY_MAX, Lineage, Shard, covers


def shard(name: str, first: int, last: int, *parents: str, closed: bool = False) -> Shard:
    return Shard(name, parents, first, last, closed)


A = shard("a", 0, 99, closed=True)
B = shard("b", 0, 49, "a", closed=True)
C = shard("c", 50, 99, "a", closed=True)
D = shard("d", 0, 99, "b", "c")


@pytest.mark.parametrize("listing", [[A, B, C, D], [D, C, B, A], [C, A, D, B]])
def test_a_split_and_a_merge_in_any_order_of_listing(listing) -> None:
    lineage = Lineage(listing)
    assert {child.shard_id for child in lineage.children("a")} == {"b", "c"}
    assert {child.shard_id for child in lineage.children("b")} == {"d"}
    assert lineage.ancestors(["d"]) == {"a", "b", "c"}
    assert lineage.ancestors(["b"]) == {"a"}
    assert [root.shard_id for root in lineage.roots] == ["a"]
    assert [found.shard_id for found in lineage.open_shards] == ["d"]
    assert lineage.is_complete


def test_a_listing_with_one_child_of_a_split_is_not_complete() -> None:
    lineage = Lineage([A, B, D])
    assert not lineage.children_cover("a")
    assert not lineage.is_complete


def test_a_merge_covers_both_parents() -> None:
    lineage = Lineage([B, C, D])
    assert lineage.children_cover("b")
    assert lineage.children_cover("c")


def test_shards_whose_parents_are_no_longer_listed_are_roots() -> None:
    lineage = Lineage([C, D])
    assert [root.shard_id for root in lineage.roots] == ["c"]
    assert lineage.listed_parents("d") == ("c",)
    assert lineage.ancestors(["d"]) == {"a", "b", "c"}
    assert not lineage.children_cover("a")  # its own range is not known any more


def test_what_is_not_listed_has_no_ancestors() -> None:
    assert Lineage([A]).ancestors(["z"]) == set()


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(0, HASH_KEY_MAX)], True),
        ([(6, HASH_KEY_MAX), (0, 5)], True),
        ([(0, 9), (5, HASH_KEY_MAX)], True),
        ([(0, 5), (7, HASH_KEY_MAX)], False),
        ([(1, HASH_KEY_MAX)], False),
        ([(0, HASH_KEY_MAX - 1)], False),
        ([], False),
    ],
)
def test_covering_the_hash_keys(ranges, expected) -> None:
    shards = [shard(str(number), *pair) for number, pair in enumerate(ranges)]
    assert covers(shards, 0, HASH_KEY_MAX) is expected
