"""EleutherAI's lm-eval scores a GGUF through `gatefold serve`, and gives the numbers that `transformers` gives.

The checkpoint is a Hugging Face folder of a small chat model; SmolLM2-135M takes minutes. By hand:

    python3 -m venv eval-env && eval-env/bin/pip install -r cli/tests/clients/requirements-lm-eval.txt
    gatefold quantize --type F32 SmolLM2-135M-Instruct/ smollm2-f32.gguf
    gatefold serve -m smollm2-f32.gguf --cache-type f32 --port 8080 &
    eval-env/bin/python cli/tests/clients/lm_eval_client.py http://127.0.0.1:8080/v1 SmolLM2-135M-Instruct/

It prints a line for each way of scoring and a line of differences, and fails where they are too large.
"""

import json
import sys
import tempfile
from pathlib import Path

import lm_eval
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

BASE_URL, CHECKPOINT = sys.argv[1:]
# Sums in another order, over 30 layers in 32 bits.
MOST_APART = 2e-3

QUESTIONS = """\
A baker sells | bread, shoes, nails, paint
Water that is very cold becomes | ice, steam, sand, smoke
The sun rises in the | east, west, north, south
A young dog is called a | puppy, kitten, calf, chick
Bees make | honey, milk, wool, silk
A triangle has | three sides, four sides, five sides, six sides
The capital of Italy is | Rome, Madrid, Vienna, Athens
Fish live in | water, trees, caves of salt, clouds
To see in the dark, she switched on the | lamp, oven, radio, fan
A week has | seven days, nine days, five days, twelve days
He cut the paper with | scissors, a spoon, a pillow, soup
The opposite of hot is | cold, loud, heavy, green
Snow is | white, red, purple, black
A doctor works in a | hospital, bakery, stable, mine
We hear with our | ears, knees, elbows, nails
In winter people wear warm | coats, swimsuits, sandals, fans
Cows give | milk, eggs, honey, wool
The Earth moves around the | Sun, Moon, North Star, planet Mars
A carpenter works with | wood, flour, ink, wool
Two and two is | four, nine, seven, one
A library is full of | books, horses, bricks, fish
Birds have | wings, wheels, leaves, buttons
The first month of the year is | January, June, October, March
She brushed her | teeth, lunch, window sill, opinion
Paris lies in | France, Norway, Brazil, Japan
The farmer milked the | cow, fence, tractor, field
An hour has | sixty minutes, ten minutes, ninety minutes, two minutes
Grass is usually | green, blue, pink, orange
He drank a glass of | water, stones, paper, wool
The ship sailed across the | sea, attic, kitchen, cupboard
A spider has | eight legs, three legs, ten tails, two beaks
The pilot flies a | plane, bicycle, tram, canoe
Apples grow on | trees, roads, roofs, boats
The teacher wrote on the | board, soup, rain, moon
At night we see the | stars, rainbow, noon, sunburn
A king wears a | crown, saddle, ladder, kettle
Iron is a | metal, fruit, bird, language
When it rains, she opens her | umbrella, piano, oven, suitcase of stones
The baby began to | cry, vote, retire, drive
Mozart wrote | music, engines, recipes for steel, maps of Peru
"""

CHOICE = """\
task: everyday_choice
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{start}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{right}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
metadata: {version: 1}
"""

ANSWER = """\
task: everyday_answer
dataset_path: json
dataset_kwargs: {data_files: {test: "%s"}}
test_split: test
output_type: generate_until
doc_to_text: "Complete in one word: {{start}} ..."
doc_to_target: "{{choices[right]}}"
generation_kwargs: {until: ["\\n\\n"], do_sample: false, max_gen_toks: 12}
metric_list: [{metric: exact_match}]
metadata: {version: 1}
"""


def write_tasks(folder):
    """The questions, each with the right choice at another place, and the two tasks on them."""
    rows = []
    for idx, line in enumerate(QUESTIONS.splitlines()):
        start, choices = [part.strip() for part in line.split("|")]
        choices = choices.split(", ")
        right, wrong = choices[0], choices[1:]
        choices = wrong[: idx % 4] + [right] + wrong[idx % 4 :]
        rows.append({"start": start, "choices": choices, "right": idx % 4})
    data = folder / "everyday.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "choice.yaml").write_text(CHOICE % data)
    (folder / "answer.yaml").write_text(ANSWER % data)
    return TaskManager(include_path=str(folder))


def scored(model, tasks, args="", task="everyday_choice", **settings):
    """The results of a task and its samples, in the order of the questions."""
    done = lm_eval.simple_evaluate(
        model, args, tasks=[task], task_manager=tasks, bootstrap_iters=0, **settings
    )
    return done["results"][task], sorted(done["samples"][task], key=lambda sample: sample["doc_id"])


def choices_of(samples):
    """For each question and choice: log probability, and whether it is what is drawn at temperature 0."""
    return [[(float(value), greedy) for ((value, greedy),) in one["resps"]] for one in samples]


def compare(name, results, samples, expected):
    """How far the choices are from the expected ones, which have the same results."""
    expected_results, expected_samples = expected
    pairs = [
        (ours, theirs)
        for one, other in zip(choices_of(samples), choices_of(expected_samples), strict=True)
        for ours, theirs in zip(one, other, strict=True)
    ]
    apart = max(abs(ours[0] - theirs[0]) for ours, theirs in pairs)
    numbers = {key: results[key] for key in ("acc,none", "acc_norm,none")}
    print(f"{name}: {numbers}, {len(pairs)} choices, at most {apart:.2e} apart")
    assert apart < MOST_APART
    assert [ours[1] for ours, _ in pairs] == [theirs[1] for _, theirs in pairs]
    assert numbers == {key: expected_results[key] for key in numbers}


def main():
    texts = {"base_url": f"{BASE_URL}/completions", "model": "served", "max_length": 1024}
    chats = texts | {"base_url": f"{BASE_URL}/chat/completions", "num_concurrent": 8}
    with tempfile.TemporaryDirectory() as folder:
        tasks = write_tasks(Path(folder))
        transformers = HFLM(pretrained=CHECKPOINT, dtype="float32", device="cpu", batch_size=1)
        expected = scored(transformers, tasks)
        compare("transformers", *expected, expected)

        # Ids from the server's own tokenizer, several prompts a request and several requests at a time.
        ways = {"one at a time": {}, "together": {"num_concurrent": 8, "batch_size": 4}}
        together = []
        for name, way in ways.items():
            results, samples = scored("local-completions", tasks, texts | way)
            compare(f"local-completions, {name}", results, samples, expected)
            together.append(choices_of(samples))
        # The company changes no bit.
        assert together[0] == together[1]
        # Texts, in place of ids from the checkpoint's tokenizer.
        args = texts | {"tokenizer_backend": "huggingface", "tokenizer": CHECKPOINT}
        compare("local-completions, ids of `tokenizers`", *scored("local-completions", tasks, args), expected)

        task = "everyday_answer"
        _, samples = scored("local-chat-completions", tasks, chats, task, apply_chat_template=True)
        told = [sample["resps"][0][0] for sample in samples]
        _, samples = scored(transformers, tasks, task=task, apply_chat_template=True)
        expected = [sample["resps"][0][0] for sample in samples]
        same = sum(ours.strip() == theirs.strip() for ours, theirs in zip(told, expected, strict=True))
        print(f"local-chat-completions: {same} of {len(told)} answers are those of transformers")
        assert same == len(told)


main()
