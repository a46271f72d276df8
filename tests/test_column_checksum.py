"""The checksum of a table: of its values, not of how they are stored."""

import numpy as np
import pyarrow as pa
import pytest

from singerid.column_checksum import checksum

VECTORS = np.arange(12, dtype=np.float32)


def make(**changes):
    columns = {
        "id": pa.array(["a", "bö", ""]),
        "label": pa.array(["x", None, "x"]),
        "n": pa.array([1, 2, None], pa.int64()),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS), 4),
    }
    return pa.table(columns | changes)


def test_chunks_slices_and_names_of_items_change_nothing():
    table = make()
    parts = pa.concat_tables([table.slice(0, 1), table.slice(1, 0), table.slice(1)])
    assert parts["id"].num_chunks > 1
    assert checksum(parts) == checksum(table)
    doubled = pa.concat_tables([table, table]).combine_chunks()
    assert checksum(doubled.slice(3)) == checksum(table)
    renamed = table["embedding"].cast(pa.list_(pa.field("element", pa.float32()), 4))
    assert checksum(table.set_column(3, "embedding", renamed)) == checksum(table)


@pytest.mark.parametrize(
    "change",
    [
        {"id": pa.array(["a", "bo", ""])},
        {"id": pa.array(["ab", "ö", ""])},  # the same bytes, divided in another way
        {"label": pa.array(["x", "", "x"])},
        {"label": pa.array([None, "x", "x"])},
        {"n": pa.array([1, 2, 0], pa.int64())},
        {"n": pa.array([1, 2, None], pa.int32())},
        {"embedding": pa.FixedSizeListArray.from_arrays(pa.array(VECTORS + 1e-6), 4)},
        {"new": pa.array(["", "", ""])},
    ],
)
def test_any_other_value_type_or_column_changes_it(change):
    assert checksum(make(**change)) != checksum(make())


def test_names_and_facts_belong_to_it():
    table = make()
    assert checksum(table.rename_columns(["id", "labeL", "n", "embedding"])) != checksum(table)
    assert checksum(table, b"ab") != checksum(table, b"a", b"b") != checksum(table)


def test_tables_without_rows_have_one():
    assert checksum(make().slice(0, 0)) == checksum(make().schema.empty_table())
    assert checksum(pa.table({})) == b"00000000"
