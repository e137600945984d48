"""Makes english.txt and code.txt: pieces of this repository's documents and sources as they were when the
files were made. They are meant to stay as they are: importance matrices depend on them.

    python make.py
"""

import pathlib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[3]
PIECE = 3000

ENGLISH = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "demo/README.md", "benches/README.md", "models.md"]
CODE = [
    "src/sampler.rs", "src/model/moe.rs", "src/engine/scheduler.rs", "src/tokenizer/bpe.rs", "src/gguf/value.rs",
    "src/eval/perplexity.rs", "src/routing/information.rs", "quant/src/layout.rs", "quant/src/attention/steps.rs",
    "cli/src/documents/html.rs", "cli/src/server/body.rs", "cli/src/args/size.rs", "tests/fixtures/mixtral/make.py",
    "tests/fixtures/routing/make.py", "cli/tests/clients/openai_client.py", "cli/src/server/page/markdown.js",
    "cli/src/server/page/api.js", "cli/src/server/page/index.html", "cli/src/server/page/style.css",
    "tests/fixtures/checkpoint/params.json", "Cargo.toml", "demo/documents/facts.json",
]


def pieces(path, most):
    """The beginning of a file and of later parts, each up to a blank line."""
    text = (ROOT / path).read_text()
    found = []
    for start in range(0, len(text), max(len(text) // most, PIECE)):
        begin = text.rfind("\n\n", 0, start) + 2 if start else 0
        end = text.rfind("\n", begin, begin + PIECE)
        found.append(text[begin : end if end > begin else len(text)].strip().replace("\n\n\n", "\n\n"))
    return [piece for piece in found[:most] if len(piece) > 200]


def main():
    english = [piece for path in ENGLISH for piece in pieces(path, 3)]
    (HERE / "english.txt").write_text("\n\n\n".join(english) + "\n")
    code = [piece for path in CODE for piece in pieces(path, 1)]
    (HERE / "code.txt").write_text("\n\n\n".join(code) + "\n")
    print(len(english), len(code))


if __name__ == "__main__":
    main()
