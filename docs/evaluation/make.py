"""Makes `facts.jsonl`, `texts.jsonl` and `code.jsonl` from what is below and the demo's documents:

    python3 make.py
"""

import json
from pathlib import Path

HERE = Path(__file__).parent

# The first choice is right; where it stands among them goes round.
FACTS = """\
What do bees make? | honey, milk, wool, silk
How many days has a week? | seven, nine, five, twelve
What is the capital of Italy? | Rome, Madrid, Vienna, Athens
Which animal gives milk? | a cow, a snake, a frog, a spider
What is snow? | white, red, purple, black
Who works in a hospital? | a doctor, a baker, a sailor, a miner
What do we hear with? | ears, knees, elbows, nails
Where do fish live? | in water, in trees, in clouds, in sand
What is the first month of the year? | January, June, October, March
What do you cut paper with? | scissors, a spoon, a pillow, soup
What is two and two? | four, nine, seven, one
Where does the sun rise? | in the east, in the west, in the north, in the south
What is iron? | a metal, a fruit, a bird, a language
What does a pilot fly? | a plane, a bicycle, a tram, a canoe
How many legs has a spider? | eight, six, four, ten
Where do apples grow? | on trees, on roads, on roofs, on boats
What is the opposite of hot? | cold, loud, heavy, green
In which country is Paris? | France, Norway, Brazil, Japan
What does water become when it freezes? | ice, steam, sand, smoke
What is full of books? | a library, a stable, a bakery, a harbour
How many minutes has an hour? | sixty, ten, ninety, two
What is a young dog called? | a puppy, a kitten, a calf, a chick
What does a king wear? | a crown, a saddle, a ladder, a kettle
What does the Earth move around? | the Sun, the Moon, Mars, Venus
"""

CODE = [
    ("double", "the double of a number", ["double(2) == 4", "double(-3) == -6"]),
    ("largest", "the largest of a list of numbers", ["largest([3, 9, 4]) == 9", "largest([-2]) == -2"]),
    ("is_even", "whether a number is even", ["is_even(4)", "not is_even(7)"]),
    ("reverse", "a text backwards", ["reverse('abc') == 'cba'", "reverse('') == ''"]),
]


def facts():
    for idx, line in enumerate(FACTS.splitlines()):
        question, choices = line.split(" | ")
        right, *wrong = choices.split(", ")
        answer = idx % 4
        yield {"question": question, "choices": wrong[:answer] + [right] + wrong[answer:], "answer": answer}


def texts():
    for path in sorted((HERE.parents[1] / "demo" / "documents").glob("*.txt")):
        yield {"text": path.read_text().strip()}


def code():
    for name, what, tests in CODE:
        text = f"Write a Python function {name} that returns {what}."
        yield {"text": text, "test_list": [f"assert {test}" for test in tests]}


for made in (facts, texts, code):
    lines = [json.dumps(row) + "\n" for row in made()]
    (HERE / f"{made.__name__}.jsonl").write_text("".join(lines))
