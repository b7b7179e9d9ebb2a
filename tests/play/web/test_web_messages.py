"""What a page says is parsed, and what is no message is refused in a sentence."""

import pytest

from world_models.play.cast import Driver, Place
from world_models.play.web.messages import Hands, Hold, Message, Press, Seen, Turn, parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind":"hands","held":["left","up"]}', Hands(kind="hands", held=["left", "up"])),
        ('{"kind":"press","name":"tab"}', Press(kind="press", name="tab")),
        (
            '{"kind":"turn","driver":"agent","place":"dream","ghost":true}',
            Turn(kind="turn", driver=Driver.agent, place=Place.dream, ghost=True),
        ),
        ('{"kind":"turn","temperature":1}', Turn(kind="turn", temperature=1.0)),
        ('{"kind":"hold","pins":{"3":-0.5}}', Hold(kind="hold", pins={3: -0.5})),
        ('{"kind":"seen"}', Seen(kind="seen")),
    ],
)
def test_messages_are_read(text: str, message: Message) -> None:
    assert parsed(text) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"seen"',
        '{"kind":"exec"}',
        '{"kind":"seen","more":1}',
        '{"kind":"hands","held":"left"}',
        '{"kind":"hands","held":["' + "x" * 21 + '"]}',
        '{"kind":"hands","held":[' + ",".join(['"a"'] * 41) + "]}",
        '{"kind":"turn","driver":"ghost"}',
        '{"kind":"turn","horizon":2.5}',
        '{"kind":"turn","temperature":NaN}',
        '{"kind":"turn","temperature":"1"}',
        '{"kind":"hold","pins":{"-1":0}}',
        '{"kind":"hold","pins":{"x":0}}',
        '{"kind":"hold","pins":{"1":Infinity}}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the page said what is not understood"):
        parsed(text)
