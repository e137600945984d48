"""What each type of `gatefold quantize` costs in quality: the Markdown table of models.md.

    cargo build --release
    python3 benches/quality.py model-f16.gguf wiki.test.raw
    python3 benches/quality.py model-f16.gguf wiki.test.raw --types Q4_0 Q4_K_M --files peer-q4_0.gguf

Quantizes the model to every type in turn, in a temporary folder, and compares each with the model
itself over the text; --files are compared too, by their names. Needs Python 3.9, nothing else.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

TYPES = """F16 BF16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S Q4_1 Q4_0 IQ4_NL IQ4_XS
           Q3_K_L Q3_K_M Q3_K_S Q2_K""".split()

HEADER = """\
| type | bits a weight | size, MB | perplexity ratio | KL divergence, mean | 99% | same top token |
| --- | --- | --- | --- | --- | --- | --- |"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="checkpoint or GGUF that everything is made from")
    parser.add_argument("text", help="text to compare over")
    parser.add_argument("--types", nargs="+", default=TYPES, metavar="TYPE")
    parser.add_argument("--files", nargs="+", default=[], metavar="GGUF", help="files made already")
    parser.add_argument("--window", default="512", help="tokens of a window (512)")
    parser.add_argument("--gatefold", default="target/release/gatefold", help="the program to run")
    args = parser.parse_args()

    def gatefold(*arguments):
        command = [args.gatefold, *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    with tempfile.TemporaryDirectory() as folder:
        base, made = pathlib.Path(folder, "base"), pathlib.Path(folder, "made.gguf")
        over = ["-f", args.text, "-c", args.window, "--json"]
        original = pathlib.Path(args.model)
        if original.is_dir():
            original = pathlib.Path(folder, "original.gguf")
            gatefold("quantize", args.model, original, "--type", "COPY")
        perplexity = json.loads(gatefold("eval", "-m", original, *over, "--save-base", base))

        def row(name, path):
            size = json.loads(gatefold("inspect", path, "--json"))
            n_bytes = size["memory"]["weights_bytes"]
            result = json.loads(gatefold("eval", "-m", path, *over, "--base", base))
            figures = result["divergence"]
            ratio, mean = figures["perplexity_ratio"], figures["kl_divergence"]
            cells = [
                name,
                f"{8 * n_bytes / size['n_parameters']:.2f}",
                f"{n_bytes / 1e6:.1f}",
                f"{ratio['value']:.4f} +/- {ratio['standard_error']:.4f}",
                f"{mean['value']:.5f} +/- {mean['standard_error']:.5f}",
                f"{figures['kl_percentiles']['p99']:.4f}",
                f"{100 * figures['same_top']['value']:.2f}%",
            ]
            print("|", " | ".join(cells), "|", flush=True)

        print(f"Perplexity of {args.model}: {perplexity['perplexity']:.4f}", end=" ")
        print(f"+/- {perplexity['standard_error']:.4f}, {perplexity['n_scored']} tokens scored.\n")
        print(HEADER, flush=True)
        for type_ in args.types:
            gatefold("quantize", original, made, "--type", type_, "--overwrite")
            row(type_, made)
        for path in args.files:
            row(pathlib.Path(path).name, path)


if __name__ == "__main__":
    main()
