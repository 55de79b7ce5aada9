from oaicompat_proxy.api.openai.media import MediaReader
from oaicompat_proxy.api.openai.responses.request.content import build_blocks
from oaicompat_proxy.core.message import Media, Text


def test_content_of_every_form():
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "output_text", "text": "b"},
        {"type": "refusal", "refusal": "c"},
        {"type": "input_image", "image_url": "http://x/y"},
    ]
    blocks = (Text("a"), Text("b"), Text("c"), Media(kind="image", url="http://x/y"))
    assert build_blocks(parts, "input[0].content", MediaReader(0)) == blocks
    assert build_blocks("hi", "input[0].content", MediaReader(0)) == (Text("hi"),)
    assert build_blocks(None, "input[0].content", MediaReader(0)) == ()
