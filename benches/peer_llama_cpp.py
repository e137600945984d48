"""llama.cpp through llama-cpp-python, for peers.py, which starts it.

Loads MODEL once. Each line on stdin is a test, a JSON object; the answer on stdout is a line with
its tokens per second. Tokens are random. What a depth needs is read when it is first asked for.
"""

import argparse
import ctypes
import json
import random
import sys
import time

import llama_cpp as llama


class Context:
    """A context whose first sequence remembers `depth` tokens between tests."""

    def __init__(self, model, args, flash_attention, n_tokens, depth):
        params = llama.llama_context_default_params()
        params.n_ctx = -(-(depth + n_tokens) // 256) * 256
        params.n_batch = params.n_ctx
        params.n_ubatch = args.ubatch
        params.n_threads = params.n_threads_batch = args.threads
        params.n_seq_max = args.sequences
        params.kv_unified = True
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_ENABLED
            if flash_attention
            else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self.n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
        self.context = llama.llama_init_from_model(model, params)
        if not self.context:
            raise SystemExit("llama.cpp makes no context")
        self.batch = llama.llama_batch_init(params.n_ctx, 0, 1)
        self.depth = depth
        self.read([(0, position) for position in range(depth or 1)])
        self.forget()

    def forget(self):
        memory = llama.llama_get_memory(self.context)
        if self.depth == 0:
            llama.llama_memory_clear(memory, False)
        else:
            llama.llama_memory_seq_rm(memory, 0, self.depth, -1)

    def read(self, places, wanted=lambda sequence, position: False):
        """Seconds for random tokens at these places, pairs of sequence and position."""
        self.batch.n_tokens = len(places)
        for i, (sequence, position) in enumerate(places):
            self.batch.token[i] = random.randrange(self.n_vocab)
            self.batch.pos[i] = position
            self.batch.n_seq_id[i] = 1
            self.batch.seq_id[i][0] = sequence
            self.batch.logits[i] = wanted(sequence, position)
        start = time.perf_counter()
        if llama.llama_decode(self.context, self.batch) != 0:
            raise SystemExit("llama_decode failed")
        llama.llama_synchronize(self.context)
        return time.perf_counter() - start

    def prompt(self, n_tokens):
        places = [(0, position) for position in range(n_tokens)]
        seconds = self.read(places, lambda _, position: position == n_tokens - 1)
        self.forget()
        return n_tokens / seconds

    def decode(self, n_steps, n_sequences, start):
        """Steps behind the depth, or behind a prompt of `start` tokens, the same for all sequences,
        which is not timed."""
        sequences = range(n_sequences)
        if start > 0:
            self.read([(0, position) for position in range(start)])
            memory = llama.llama_get_memory(self.context)
            for sequence in sequences[1:]:
                llama.llama_memory_seq_cp(memory, 0, sequence, 0, start)
        start = start or self.depth
        steps = ([(sequence, start + i) for sequence in sequences] for i in range(n_steps))
        seconds = sum(self.read(places, lambda *_: True) for places in steps)
        self.forget()
        return n_steps * n_sequences / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--ubatch", type=int, required=True)
    parser.add_argument("--sequences", type=int, required=True)
    parser.add_argument("--tokens", type=int, required=True, help="most tokens of a test")
    args = parser.parse_args()
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    model = llama.llama_model_load_from_file(args.model.encode(), params)
    if not model:
        raise SystemExit(f"llama.cpp does not load {args.model}")
    contexts = {}
    for line in sys.stdin:
        test = json.loads(line)
        depth = test.get("depth", 0)
        key = test["flash_attention"], depth
        if key not in contexts:
            contexts[key] = Context(model, args, key[0], args.tokens, depth)
        context = contexts[key]
        if "n_prompt" in test:
            speed = context.prompt(test["n_prompt"])
        else:
            speed = context.decode(test["n_steps"], test["n_sequences"], test["start"])
        print(speed, flush=True)


if __name__ == "__main__":
    main()
