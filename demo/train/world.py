"""The small world: documents of five kinds, each with the facts it states, a summary of them, and
questions about them.

A document is a few sentences about its facts, in words, order and company that vary. Everything
comes from one `random.Random`, so a seed is a corpus.
"""

import hashlib
from random import Random

from kinds import KINDS
from writer import Document, Fact

__all__ = ["KINDS", "Document", "Fact", "document"]

# One combination of facts in this many is held out.
HELD_OUT_ONE_IN = 16


def is_held_out(document: Document) -> bool:
    """Whether the combination of this document's facts is kept from training. It depends on the
    facts alone, so no other wording of them is trained on either."""
    facts = "\n".join(f"{fact.kind} {fact.text}" for fact in document.facts)
    digest = hashlib.sha256(f"{document.kind}\n{facts}".encode()).digest()
    return digest[0] % HELD_OUT_ONE_IN == 0


def document(rng: Random, length: float | None = None, held_out: bool = False) -> Document:
    """A document of any kind, from the trained or the held-out ones; `length` from 0 to 1, by
    default any."""
    while True:
        kind = rng.choice(KINDS)
        drawn = kind(rng, rng.random() if length is None else length)
        if is_held_out(drawn) == held_out:
            return drawn
