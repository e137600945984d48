"""Documents as Mixtral's instruct format has them, and as tokens with a mark on those to be learnt."""

from random import Random

import sentencepiece

import world

ASK = [
    "Summarize this text.",
    "Summarize:",
    "Please summarize the following text.",
    "Write a short summary of this text.",
    "Summarize the following text in a few sentences.",
]


def prompt(document: world.Document, ask: str) -> str:
    return f"[INST] {ask}\n\n{document.text} [/INST]"


class Encoder:
    """Conversations as ids. Each turn is encoded by itself, as `mistral-common` does it: a
    sequence begins with BOS, and an answer ends with EOS."""

    def __init__(self, model_file: str):
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=model_file)
        self.bos, self.eos = self.tokenizer.bos_id(), self.tokenizer.eos_id()

    def conversation(self, rng: Random, document: world.Document, most_questions: int):
        """Ids, and for each whether it is the answer to something: the summary first, then some of
        the questions in any order; now and then the other way around."""
        encode = self.tokenizer.encode
        turns = [(prompt(document, rng.choice(ASK)), document.summary)]
        questions = list(document.questions)
        rng.shuffle(questions)
        questions = questions[: rng.randint(0, most_questions)]
        if questions and rng.random() < 0.3:
            question, answer = questions.pop()
            turns = [(prompt(document, question), answer), ("[INST] Summarize it. [/INST]", document.summary)]
        turns += [(f"[INST] {question} [/INST]", answer) for question, answer in questions]
        ids, is_answer = [self.bos], [False]
        for asked, answer in turns:
            asked, answer = encode(asked), [*encode(answer), self.eos]
            ids += asked + answer
            is_answer += [False] * len(asked) + [True] * len(answer)
        return ids, is_answer

    def story(self, document: world.Document):
        """The document alone, as a text to be continued."""
        ids = [self.bos, *self.tokenizer.encode(document.text), self.eos]
        return ids, [False] * len(ids)
