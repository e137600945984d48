"""What documents of the small world are made of: facts, and a writer that draws words and puts
sentences together.

Sentences that mean nothing stand between those that state facts, with names and numbers of their own.
"""

from dataclasses import dataclass
from random import Random

import pools

# How many names are no one's: made up on the spot, so that reading, not knowing, gets them right.
INVENTED = 0.15


def invented(rng: Random) -> str:
    """A name of two or three syllables that need not exist."""
    syllables = [
        rng.choice(["", *"bcdfghjklmnprstvwz", "br", "cl", "gr", "st", "th", "tr"])
        + rng.choice("aeiou")
        + rng.choice(["", "", *"lmnrst"])
        for _ in range(rng.randint(2, 3))
    ]
    return "".join(syllables).capitalize()


@dataclass(frozen=True)
class Fact:
    """Something a document states and its summary must repeat, letter by letter."""

    kind: str  # person, place, team, time, day, number or phrase
    text: str


@dataclass(frozen=True)
class Document:
    kind: str
    text: str
    # All that would do; the first is the one to learn.
    summaries: tuple[str, ...]
    facts: tuple[Fact, ...]
    questions: tuple[tuple[str, str], ...]

    @property
    def summary(self) -> str:
        return self.summaries[0]


class Writer:
    """Draws words and writes sentences; remembers the facts it was told."""

    def __init__(self, rng: Random):
        self.rng = rng
        self.facts: dict[str, Fact] = {}
        self.used: set[str] = set()
        self.noises = rng.sample(NOISE, len(NOISE))

    def pick(self, options):
        return self.rng.choice(options)

    def fresh(self, pool) -> str:
        """A word of the pool that this document does not have yet."""
        while True:
            word = self.rng.choice(pool)
            if word not in self.used:
                self.used.add(word)
                return word

    def fact(self, name: str, kind: str, text) -> str:
        self.facts[name] = Fact(kind, str(text))
        return str(text)

    def name(self, pool) -> str:
        return invented(self.rng) if self.rng.random() < INVENTED else self.fresh(pool)

    def place(self) -> str:
        return self.name(pools.PLACES)

    def person(self) -> str:
        return f"{self.name(pools.FIRST_NAMES)} {self.name(pools.SURNAMES)}"

    def number(self, low: int, high: int) -> str:
        while True:
            number = str(self.rng.randint(low, high))
            if number not in self.used:
                self.used.add(number)
                return number

    def time(self) -> str:
        while True:
            time = f"{self.rng.randint(6, 22)}:{self.rng.randrange(0, 60, 5):02}"
            if time not in self.used:
                self.used.add(time)
                return time

    def say(self, *variants: str, **extra: str) -> str:
        return self.pick(self.ways(*variants, **extra))

    def ways(self, *variants: str, **extra: str) -> tuple[str, ...]:
        """The variants with their words filled in."""
        words = {name: fact.text for name, fact in self.facts.items()} | extra
        sentences = [variant.format(**words) for variant in variants]
        return tuple(sentence[0].upper() + sentence[1:] for sentence in sentences)

    def summaries(self, *variants: str) -> tuple[str, ...]:
        """The variants in full, one of them moved to the front."""
        ways = self.ways(*variants)
        chosen = self.pick(ways)
        return (chosen, *(way for way in ways if way != chosen))

    def noise(self) -> str:
        """A sentence about nothing that matters, none of them twice."""
        rng = self.rng
        return self.noises.pop().format(
            person=self.person(),
            place=self.place(),
            street=rng.choice(pools.STREETS),
            number=self.number(2, 99),
            month=rng.choice(pools.MONTHS),
            year=rng.randint(1950, 2024),
        )

    def document(self, kind, sentences, summaries, questions, length) -> Document:
        """Puts the sentences together. The first stays first; `length` is how much noise there is,
        from 0 (none, and no second mention of anything) to 1."""
        first, *rest = sentences
        if self.rng.random() < 0.5:
            self.rng.shuffle(rest)
        for _ in range(self.rng.randint(0, round(22 * length))):
            rest.insert(self.rng.randint(0, len(rest)), self.noise())
        text = " ".join([first, *rest])
        return Document(kind, text, summaries, tuple(self.facts.values()), tuple(questions))


def answered(w: Writer, questions):
    words = {name: fact.text for name, fact in w.facts.items()}
    return [(question.format(**words), answer.format(**words)) for question, answer in questions]


NOISE = [
    "The road to {place} is still closed.",
    "{person} sent apologies.",
    "Nobody from {place} was there.",
    "The last time was in {month} {year}.",
    "{person} took photographs for the paper.",
    "A dog barked the whole time.",
    "The tea was strong and the biscuits were gone by noon.",
    "Parking on {street} cost {number} pence.",
    "Bus {number} did not stop at {street}.",
    "People in {place} had heard about it by the evening.",
    "It was the talk of {place} for days.",
    "The old clock at the town hall was {number} minutes slow.",
    "{person} lost an umbrella and would like it back.",
    "Some had come all the way from {place}.",
    "Number {number}, {street}, is for sale again.",
    "As {person} said, it could have been worse.",
    "The paper wrote {number} lines about it.",
    "There was something like it in {place} in {year}.",
    "{person} moved to {place} in {month}.",
    "The bakery on {street} was closed.",
    "A letter from {person} has not been answered since {month}.",
    "Milk is {number} pence a pint in {place}.",
    "The bridge at {place} was built in {year}.",
    "{person} and {number} others signed a list.",
    "Nothing like it is known from {place}.",
    "There were {number} geese on {street}.",
    "{person} slept through it all.",
    "The church in {place} needs a new bell.",
    "It is {number} miles from here to {place}.",
    "A choir from {place} sang in {month}.",
    "The post on {street} comes twice a day again.",
    "{person} has kept a diary since {year}.",
]
