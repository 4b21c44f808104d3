"""Arrow's layouts of the same values: dictionaries, runs and views, or none of them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["plain_layout"]


def plain_layout(raw: pa.Array) -> pa.Array:
    """Returns the same values without dictionaries, runs or views; UUIDs as their texts."""
    if pa.types.is_dictionary(raw.type):
        # No view can be taken by its place.
        values = plain_layout(raw.dictionary)
        raw = pa.DictionaryArray.from_arrays(raw.indices, values).dictionary_decode()
    if pa.types.is_run_end_encoded(raw.type):
        raw = pc.run_end_decode(raw)
    if isinstance(raw, pa.ExtensionArray):
        if raw.type.extension_name == "arrow.uuid":
            texts = [None if value is None else str(value) for value in raw.to_pylist()]
            return pa.array(texts, pa.string())
        raw = raw.storage
    if pa.types.is_string_view(raw.type):
        return raw.cast(pa.large_string())
    if pa.types.is_binary_view(raw.type):
        return raw.cast(pa.large_binary())
    if pa.types.is_list_view(raw.type) or pa.types.is_large_list_view(raw.type):
        # pyarrow 21's cast of a view to a list loses its values.
        return pa.array(raw.to_pylist(), pa.list_(raw.type.value_type))
    return raw
