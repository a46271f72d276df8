"""The header of exported encoders: written behind any model, read back, every damage named."""

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singerid import pretrained
from singerid.encoder_graph import KEY, GraphHeader, has_header, parse_header, with_header
from singerid.errors import CheckpointError
from singerid.formats import FORMATS
from singerid.spec import FeatureSpec, MelSettings

FORMAT = FORMATS["exported encoder"]
SPEC = FeatureSpec(mel=MelSettings(n_mels=24))
HEADER = GraphHeader(
    name="ünse", fingerprint="abc", spec=SPEC, partial_frames=175, dim=64,
    provenance={"step": 7, "data": ["a", None]}, calibration=base64.b64encode(b"\0\1").decode(),
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    """A model with metadata of its own, a graph, and fields before and after it."""
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", number, ["n"])],
        [helper.make_tensor_value_info("y", number, ["n"])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entry = made.metadata_props.add()
    entry.key, entry.value = "author", "someone"
    return made.SerializeToString()


def with_text(model, text):
    """The model with any text as its header, written by the library for ONNX."""
    import onnx

    made = onnx.load_from_string(model)
    entry = made.metadata_props.add()
    entry.key, entry.value = KEY, text
    return made.SerializeToString()


def test_round_trip(model):
    written = with_header(model, HEADER)
    assert written.startswith(model)
    assert parse_header(written, "a.onnx") == HEADER
    assert HEADER.calibration_bytes == b"\0\1"
    assert has_header(written)
    assert not has_header(model)


def test_libraries_for_onnx_see_the_same(model):
    import onnx
    import onnxruntime

    written = with_header(model, HEADER)
    onnx.checker.check_model(onnx.load_from_string(written))
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["author"] == "someone"
    assert json.loads(metadata[KEY]) == HEADER.model_dump()
    assert parse_header(with_text(model, HEADER.model_dump_json()), "a") == HEADER


def test_a_second_header_takes_the_place_of_the_first(model):
    other = HEADER.model_copy(update={"name": "other", "calibration": None})
    again = with_header(with_header(model, HEADER), other)
    assert again == with_header(model, other)
    assert parse_header(again, "a").calibration_bytes is None


def test_every_changed_bit_is_noticed(model):
    written = with_header(model, HEADER)
    for place in range(0, len(written), 7):
        damaged = bytearray(written)
        damaged[place] ^= 1 << place % 8
        with suppress(CheckpointError):  # of the last bytes, some only hide the checksum
            parse_header(bytes(damaged), "m.onnx")
            assert place >= len(written) - 30
    with pytest.raises(CheckpointError, match=r"^m.onnx: does not match its checksum; found chan"):
        parse_header(written.replace(b"someone", b"someine"), "m.onnx")
    with pytest.raises(CheckpointError, match=r"does not match its checksum"):
        parse_header(written + model, "m.onnx")


def test_the_encoder_of_the_package_has_a_checksum():
    data = bytearray(pretrained.path_of("default", ".onnx").read_bytes())
    data[len(data) // 2] ^= 1
    with pytest.raises(CheckpointError, match=r"^it: does not match its checksum"):
        parse_header(bytes(data), "it")


def test_files_without_a_checksum_are_read(model):
    written = with_header(model, HEADER)
    assert parse_header(written[: written.rindex(b"singerid.crc32") - 4], "m.onnx") == HEADER


def test_models_of_others_are_refused(model):
    message = (
        "m.onnx: is not an exported encoder of singerid; found no header in its metadata; make "
        "one: singerid export"
    )
    for data in (model, b"", b"no protocol buffer", model[:-3]):
        assert not has_header(data)
        with pytest.raises(CheckpointError) as caught:
            parse_header(data, "m.onnx")
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=r"wire type 6"):
        with_header(b"no protocol buffer", HEADER)


def test_a_format_that_is_no_number_is_damage(model):
    text = json.dumps(HEADER.model_dump() | {"format": "1x"})
    with pytest.raises(CheckpointError, match=r"^m.onnx: version of .* is damaged; found '1x'; "):
        parse_header(with_text(model, text), "m.onnx")


def test_newer_files_ask_for_an_update(model):
    text = json.dumps({"format": FORMAT + 1, "anything": "else"})
    with pytest.raises(CheckpointError) as caught:
        parse_header(with_text(model, text), "m.onnx")
    assert str(caught.value) == (
        "m.onnx: exported encoder format 2 is newer than this singerid (knows 1); upgrade singerid"
    )


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"dim": 0}, "dim"), ({"partial_frames": None}, "partial_frames"), ({"spec": {}}, None),
        ({"spec": {"mel": {"n_mels": 1}}}, "n_mels"), ({"extra": 1}, "extra"),
        ({"name": ""}, "name"),
        ({"calibration": "?"}, "not base64"),
    ],
)  # fmt: skip
def test_damaged_headers_are_refused(model, change, found):
    data = with_text(model, json.dumps(HEADER.model_dump() | change))
    if found is None:  # a spec of defaults is one
        assert parse_header(data, "m").spec == FeatureSpec()
        return
    with pytest.raises(CheckpointError, match=r"^m.onnx: has a damaged header; found ") as caught:
        parse_header(data, "m.onnx")
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null", "1"])
def test_headers_that_are_no_object_are_refused(model, text):
    with pytest.raises(CheckpointError, match="has a damaged header"):
        parse_header(with_text(model, text), "m.onnx")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_model_of_others_or_refused(data):
    assert not has_header(data)


@given(place=st.integers(0, 400), value=st.integers(0, 255))
def test_a_changed_byte_never_breaks_the_reader(place, value):
    data = bytearray(with_header(b"", HEADER))
    data[place % len(data)] = value
    with suppress(CheckpointError):  # and nothing else
        assert parse_header(bytes(data), "m").format == FORMAT
