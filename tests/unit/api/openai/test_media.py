import base64
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oaicompat_proxy.api.openai.media import MAX_ESCAPES, MediaReader
from oaicompat_proxy.core.errors import InvalidRequest
from oaicompat_proxy.core.message import Media

PATH = "messages[0].content[1]"
ABC = "QUJD"  # "ABC"
A = "QQ=="  # "A"


def read(part, limit=1000):
    return MediaReader(limit).read(part, PATH)


def refused(part, limit=1000):
    with pytest.raises(InvalidRequest) as caught:
        read(part, limit)
    return caught.value


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def audio(data, form="wav"):
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def file(**fields):
    return {"type": "file", "file": fields}


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.png", "http://example.org", "HTTPS://example.org/?q=1#f", "http://[::1]:80/x"],
)
def test_image_by_address_keeps_its_address(url):
    assert read(image(url)) == Media(kind="image", url=url)


@pytest.mark.parametrize(
    ("url", "data", "mime_type"),
    [
        (f"data:image/png;base64,{ABC}", ABC, "image/png"),
        (f"DATA:IMAGE/PNG;BASE64,{ABC}", ABC, "image/png"),
        (f"data:image/png;name=x.png;base64,{ABC}", ABC, "image/png"),
        (f"data:image/png; base64 ,{ABC}", ABC, "image/png"),
        (f"data:;base64,{ABC}", ABC, None),
        ("data:image/png;base64,QU\r\n JD", ABC, "image/png"),
        ("data:image/png;base64,QQ", A, "image/png"),
        ("data:image/png;base64,QQ%3D%3D", A, "image/png"),
        ("data:image/png;base64,%51UJD", ABC, "image/png"),
        ("data:image/svg+xml,ABC", ABC, "image/svg+xml"),
        ("data:image/svg+xml;charset=utf-8,%41BC", ABC, "image/svg+xml"),
        ("data:,A", A, None),
        ("data:text/plain,a,b", base64.b64encode(b"a,b").decode(), "text/plain"),
        ("data:text/plain,ä", base64.b64encode("ä".encode()).decode(), "text/plain"),
    ],
)
def test_image_by_value_becomes_base64_with_its_type(url, data, mime_type):
    assert read(image(url)) == Media(kind="image", data=data, mime_type=mime_type)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "http://",
        "http:///a",
        "https://example.org/a b",
        "https://example.org/\n",
        " https://example.org",
        "data:image/png;base64",
        "data:image/png;base64,",
        "data:,",
        "data:image/png;base64,Q",
        "data:image/png;base64,QUJ$",
        "data:image/png;base64,QUJDé",
        "data:image/png;base64,QU-_",
        "data:image/png;base64,QQ==QQ==",
        "data:image/png;base64,====",
    ],
)
def test_what_is_no_picture_is_refused_with_its_path(url):
    fault = refused(image(url))
    assert (fault.status, fault.param, fault.code) == (400, f"{PATH}.image_url.url", "invalid_value")


@pytest.mark.parametrize(("form", "mime_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg")])
def test_audio_gets_the_media_type_of_its_format(form, mime_type):
    assert read(audio(ABC, form)) == Media(kind="audio", data=ABC, mime_type=mime_type)


@pytest.mark.parametrize("data", ["", "not, base64", f"data:audio/wav;base64,{ABC}"])
def test_audio_that_is_no_base64_is_refused(data):
    fault = refused(audio(data))
    assert (fault.param, fault.code) == (f"{PATH}.input_audio.data", "invalid_value")


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (file(file_id="file-1"), Media(kind="document", file_id="file-1")),
        (file(file_id="file-1", file_data=None), Media(kind="document", file_id="file-1")),
        (
            file(file_id="file-1", filename="a.pdf"),
            Media(kind="document", file_id="file-1", name="a.pdf"),
        ),
        (
            file(file_data=f"data:application/pdf;base64,{ABC}", filename="a.pdf"),
            Media(kind="document", data=ABC, mime_type="application/pdf", name="a.pdf"),
        ),
        (
            file(file_data=f"data:image/png;base64,{ABC}"),
            Media(kind="document", data=ABC, mime_type="image/png"),
        ),
        (file(file_data=ABC), Media(kind="document", data=ABC, mime_type="application/octet-stream")),
        (
            file(file_data=f"data:;base64,{ABC}"),
            Media(kind="document", data=ABC, mime_type="application/octet-stream"),
        ),
    ],
)
def test_files_become_documents(part, media):
    assert read(part) == media


@pytest.mark.parametrize(
    ("part", "inner", "code"),
    [
        (file(), ".file_data", "missing_required_parameter"),
        (file(filename="a.pdf", file_data=None, file_id=None), ".file_data", "missing_required_parameter"),
        (file(file_data="", file_id=""), ".file_data", "missing_required_parameter"),
        (file(file_data=ABC, file_id="file-1"), "", "invalid_value"),
        (file(file_data="https://example.org/a.pdf"), ".file_data", "invalid_value"),
    ],
)
def test_files_that_are_nothing_or_too_much_are_refused(part, inner, code):
    fault = refused(part)
    assert (fault.param, fault.code) == (f"{PATH}.file{inner}", code)


THREE_BYTES = [image(f"data:;base64,{ABC}"), image("data:,ABC"), audio(ABC), file(file_data=ABC)]


@pytest.mark.parametrize("part", THREE_BYTES)
def test_decoded_size_is_bounded_exactly(part):
    assert read(part, limit=3)
    fault = refused(part, limit=2)
    assert fault.code == "media_above_max_size"
    assert fault.param.startswith(PATH)


def test_padding_does_not_count():
    assert read(audio(A), limit=1)


def test_the_bound_is_for_all_parts_together():
    media = MediaReader(8)
    media.read(audio(ABC), PATH)
    media.read(image("https://example.org/does-not-count.png"), PATH)
    media.read(file(file_data=ABC), PATH)
    with pytest.raises(InvalidRequest) as caught:
        media.read(image(f"data:;base64,{ABC}"), PATH)
    assert caught.value.param == f"{PATH}.image_url.url"


def test_percent_signs_are_bounded():
    assert read(image("data:," + "%41" * MAX_ESCAPES), limit=MAX_ESCAPES).data
    fault = refused(image("data:," + "%41" * (MAX_ESCAPES + 1)), limit=MAX_ESCAPES + 1)
    assert "base64" in fault.message


def test_client_data_is_not_repeated_in_messages():
    assert len(refused(image("x" * 10_000)).message) < 200


@given(st.binary(min_size=1, max_size=200))
def test_bytes_survive_by_either_encoding(content):
    whole = base64.b64encode(content).decode()
    escaped = "".join(f"%{byte:02x}" for byte in content)
    assert read(image(f"data:;base64,{whole}")).data == whole
    assert read(image(f"data:,{escaped}")).data == whole


@given(st.text() | st.text().map(lambda text: f"data:{text}"))
def test_any_url_reads_or_is_refused(url):
    with suppress(InvalidRequest):
        assert read(image(url)).kind == "image"


@pytest.mark.parametrize("body", ["", ";" * 2_000_000, "a" * 2_000_000, ";base64" * 300_000, " ;" * 1_000_000])
def test_data_url_without_a_comma_is_refused_at_once(body):
    start = time.thread_time()
    assert refused(image("data:" + body)).param == f"{PATH}.image_url.url"
    assert time.thread_time() - start < 0.5


def test_parameters_without_end_are_read_in_one_pass():
    url = "data:image/png" + ";a=b" * 500_000 + f";base64,{ABC}"
    assert read(image(url)) == Media(kind="image", data=ABC, mime_type="image/png")


def read_input(limit=1000, **part):
    return MediaReader(limit).read_input(part, PATH)


@pytest.mark.parametrize(
    ("part", "media"),
    [
        ({"type": "input_image", "image_url": "http://x/a"}, Media(kind="image", url="http://x/a")),
        (
            {"type": "input_image", "image_url": f"data:image/png;base64,{ABC}"},
            Media(kind="image", data=ABC, mime_type="image/png"),
        ),
        ({"type": "input_image", "file_id": "file_1"}, Media(kind="image", file_id="file_1")),
        (
            {"type": "input_file", "file_data": ABC, "filename": "x"},
            Media(kind="document", data=ABC, mime_type="application/octet-stream", name="x"),
        ),
        ({"type": "input_file", "file_id": "file_1"}, Media(kind="document", file_id="file_1")),
        (
            {"type": "input_file", "file_url": "https://x/a.pdf", "filename": "a.pdf"},
            Media(kind="document", url="https://x/a.pdf", name="a.pdf"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": ABC, "format": "wav"}},
            Media(kind="audio", data=ABC, mime_type="audio/wav"),
        ),
    ],
)
def test_parts_whose_fields_stand_beside_their_type(part, media):
    assert read_input(**part) == media


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image"}, "image_url"),
        ({"type": "input_image", "image_url": "ftp://x"}, "image_url"),
        ({"type": "input_file"}, "file_data"),
        ({"type": "input_file", "file_url": "file:///etc/passwd"}, "file_url"),
        ({"type": "input_file", "file_data": "§"}, "file_data"),
    ],
)
def test_faults_of_such_parts_name_their_field(part, field):
    with pytest.raises(InvalidRequest) as caught:
        read_input(**part)
    assert caught.value.param == f"{PATH}.{field}"
