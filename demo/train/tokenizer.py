"""Trains the tokenizer: SentencePiece BPE with byte fallback and single digits, as Mistral's is.

    python tokenizer.py tokenizer.model
"""

import sys
from random import Random

import sentencepiece

import conversation
import world

VOCABULARY = 3072
N_DOCUMENTS = 40_000


def corpus(rng: Random):
    for _ in range(N_DOCUMENTS):
        document = world.document(rng)
        yield conversation.prompt(document, rng.choice(conversation.ASK))
        yield document.summary
        for question, answer in document.questions:
            yield f"[INST] {question} [/INST]"
            yield answer


def main(path: str) -> None:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in corpus(Random(1)) for line in text.split("\n") if line),
        model_prefix=path.removesuffix(".model"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        split_digits=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        num_threads=2,
        minloglevel=1,
    )


if __name__ == "__main__":
    main(sys.argv[1])
