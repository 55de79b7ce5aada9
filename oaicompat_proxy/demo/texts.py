"""Texts of the demo agents. Pure."""

from __future__ import annotations

import re

LET_ME_SEE = "Let me see. "
CHECKING = "Checking. "
THOUGHT = (
    "The user wants to see me think. First I look at the question from one side, then from the other; "
    "both sides agree, so the answer is probably right."
)
THOUGHT_OVER = "I have thought about it: the answer is 42."
SUM = "The sum is 42."
FAKED = "I was told that it was shown to you, which is all I know."
SLOW = "I am taking my time over every single word."

CLOCK_WORDS = re.compile(r"\bwhat time\b|\bwhat(?:'s| is) the time\b", re.I)
CLOCK = "12:00"
CLOCK_ANSWER = "It is 12:00; it always is, in a demo."

CAN_SHOW = (
    "I am the demo agent, so I have no model behind me, but I can show what an agent run looks like. "
    "Ask me to think, to use a tool, to add 19 and 23, to be slow or to fail; declare a tool of your own "
    "and ask for the weather, and I will call it. Write [[scenario:NAME]] for one exact case."
)
MAX_QUOTE = 60

UNICODE = (
    "Emoji: \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466\U0001f1eb\U0001f1f7 ",
    "CJK: \u65e5\u672c\u8a9e \u4e2d\u6587 \ud55c\uad6d\uc5b4 ",
    "combining: e\u0301 n\u0303 a\u0308\u0323 ",
    "LS:\u2028 PS:\u2029 NEL:\x85 BOM:\ufeff ",
    "quotes: \"double\" 'single' `back` backslash: \\ \\n \\u0041 ",
    "newlines:\nLF\r\nCRLF\rCR\n\nblank ",
    "tab:\t null:\x00 bell:\x07 del:\x7f ",
    'sse: data: [DONE]\n\ndata: {"x":1}\n\nevent: foo\n: comment ',
    "html: <b>&amp;</b> </script> RTL: \u0645\u0631\u062d\u0628\u0627 ",
    "astral: \U0001d54f\U0010ffff end",
)


def answer(question: str) -> str:
    """A greeting that quotes the question, so that a user sees that it arrived."""
    text = " ".join(question.split())
    if not text:
        return f"Hello! You said nothing. {CAN_SHOW}"
    quote = text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE].rstrip() + "…"
    return f"Hello! You said: “{quote}”. {CAN_SHOW}"


def result(found: str) -> str:
    return f"Your tool answered: {found}" if found else "Your tool answered nothing."
