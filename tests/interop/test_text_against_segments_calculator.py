"""The encoding that is chosen for a text, and how many segments it takes, against npm's sms-segments-calculator.

The calculator never cuts inside of what a reader sees as one character (a letter and its combining mark, an emoji of
several parts), where 3GPP TS 23.040 section 9.2.3.24.1 counts octets and septets only: with such a character right at
a limit it could need a segment more. No text here has one in such a place, so that nothing is left out.
"""

from __future__ import annotations

import json
import subprocess

import pytest

from protocols.gsm.alphabets import Alphabet
from protocols.gsm.choice import choose
from protocols.gsm.segmentation import count
from tests.interop.esme_peers import HERE, NODE_BRING, has_node
from tests.unit.protocols.gsm.texts import COUNT, texts

CALCULATOR = HERE / "node" / "node_modules" / "sms-segments-calculator"
NAMES = {Alphabet.GSM7: "GSM-7", Alphabet.UCS2: "UCS-2"}
SECONDS = 60.0


@pytest.mark.skipif(not (has_node() and CALCULATOR.is_dir()), reason=f"bring it with: {NODE_BRING}")
def test_100_000_texts_are_encoded_and_counted_as_the_calculator_has_it() -> None:
    asked = list(texts(seed=20260701))
    done = subprocess.run(
        ["node", str(HERE / "node" / "segments.js")],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
        timeout=SECONDS,
    )
    answers = json.loads(done.stdout)
    assert len(answers) == COUNT
    seen: set[tuple[str, bool]] = set()
    for text, (encoding, segments) in zip(asked, answers, strict=True):
        ours = choose(text)
        needed = count(ours.content, ours.alphabet)
        assert NAMES[ours.alphabet] == encoding, ascii(text)
        assert needed == segments, ascii(text)
        seen.add((encoding, segments > 1))
    assert len(seen) == 4, "the texts are of one kind"
