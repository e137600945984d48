"""Trains the model; run it again to go on where it stopped.

    python train.py FOLDER [--minutes M]

FOLDER gets tokenizer.model, checkpoint.pt (written every few minutes) and log.jsonl.
"""

import argparse
import json
import math
import os
import queue
import threading
import time
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F

import tokenizer
import world
from conversation import Encoder
from model import Config, Mixtral

ROWS, ROW_LEN = 12, 512
# Most tokens of a step that are predicted: all answers, and some of the other text.
WANTED = 2560
N_STEPS = 4_000
WARM_UP = 100
# The last part of the steps, in which the learning rate falls to zero.
COOL_DOWN = 0.35
MUON_RATE, ADAM_RATE = 0.02, 3e-3
BALANCE = 0.02


def length(step: int, rng: Random) -> float:
    """How long documents are, 0 to 1: short ones first, for copying is learnt on those; then any."""
    return rng.random() * min(1.0, 0.1 + step / 2000)


def rows(encoder: Encoder, rng: Random, step: int):
    """A step's tokens `[ROWS, ROW_LEN]`: conversations and stories one behind the other, as many as
    fit; which of them each token belongs to (0 for none); and whether it is an answer."""
    ids = torch.zeros(ROWS, ROW_LEN, dtype=torch.long)
    owner = torch.zeros(ROWS, ROW_LEN, dtype=torch.long)
    is_answer = torch.zeros(ROWS, ROW_LEN, dtype=torch.bool)
    for row in range(ROWS):
        at, n, n_misfits = 0, 0, 0
        while at < ROW_LEN - 40 and n_misfits < 8:
            document = world.document(rng, length(step, rng))
            if rng.random() < 0.1:
                text, answer = encoder.story(document)
            else:
                text, answer = encoder.conversation(rng, document, 6)
            if at and at + len(text) > ROW_LEN:
                n_misfits += 1
                continue
            text, answer, n = text[: ROW_LEN - at], answer[: ROW_LEN - at], n + 1
            span = slice(at, at + len(text))
            ids[row, span], owner[row, span] = torch.tensor(text), n
            is_answer[row, span] = torch.tensor(answer)
            at += len(text)
    return ids, owner, is_answer


def targets(ids, owner, is_answer, generator):
    """Flat indices of the tokens to predict from, and what comes next there: every answer, and as
    much of the rest as there is room for."""
    same = (owner[:, 1:] == owner[:, :-1]) & (owner[:, 1:] > 0)
    score = torch.rand(same.shape, generator=generator) + is_answer[:, 1:].float()
    score = F.pad(torch.where(same, score, -1.0), (0, 1), value=-1.0).flatten()
    wanted = score.topk(WANTED).indices
    wanted = wanted[score[wanted] >= 0]
    return wanted, ids.roll(-1, dims=1).flatten()[wanted], score[wanted] >= 1


def orthogonal(g: torch.Tensor) -> torch.Tensor:
    """The nearest matrix with orthogonal rows, roughly: the quintic Newton-Schulz iteration of Muon
    (Jordan et al., 2024). `g` is [..., rows, cols]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    transposed = x.shape[-2] > x.shape[-1]
    x = x.mT if transposed else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x.mT if transposed else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal: for the matrices between the embeddings."""

    def __init__(self, parameters, lr: float, momentum: float = 0.95, decay: float = 0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                buffer = state.setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonal(p.grad.lerp(buffer, group["momentum"]))
                scale = max(1.0, p.shape[-2] / p.shape[-1]) ** 0.5
                p.mul_(1 - group["lr"] * group["decay"]).add_(update, alpha=-group["lr"] * scale)


def optimizers(model: Mixtral):
    is_matrix = lambda name: "experts.w" in name or "attention." in name or name == "turn"
    named = list(model.named_parameters())
    matrices = [p for name, p in named if is_matrix(name)]
    others = [p for name, p in named if not is_matrix(name)]
    return [
        Muon(matrices, MUON_RATE),
        torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate(step: int) -> float:
    left = (N_STEPS - step) / (COOL_DOWN * N_STEPS)
    return min(1.0, (step + 1) / WARM_UP, max(0.0, left))


def prefetch(encoder: Encoder, first_step: int):
    """Steps' rows, made beside the training. Each step has a seed of its own, so a run that was
    stopped goes on with the same ones."""
    ready = queue.Queue(maxsize=8)

    def work():
        for step in range(first_step, N_STEPS):
            ready.put(rows(encoder, Random(step), step))

    threading.Thread(target=work, daemon=True).start()
    return ready


def save(path: Path, **state) -> None:
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    os.replace(partial, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=math.inf)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    tokenizer_file = args.folder / "tokenizer.model"
    if not tokenizer_file.exists():
        tokenizer.main(str(tokenizer_file))
    encoder = Encoder(str(tokenizer_file))
    torch.manual_seed(1)
    model = Mixtral(Config())
    steppers = optimizers(model)
    checkpoint, step = args.folder / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        step = state["step"]
        model.load_state_dict(state["model"])
        for stepper, saved in zip(steppers, state["optimizers"]):
            stepper.load_state_dict(saved)
    ready = prefetch(encoder, step)
    causal = torch.ones(ROW_LEN, ROW_LEN, dtype=torch.bool).tril()
    started = saved_at = time.monotonic()
    seen, sums = 0, dict(answer=0.0, text=0.0, balance=0.0)
    while step < N_STEPS and time.monotonic() - started < 60 * args.minutes:
        ids, owner, is_answer = ready.get()
        mask = (owner[:, None, :, None] == owner[:, None, None, :]) & causal
        generator = torch.Generator().manual_seed(step)
        wanted, expected, of_answer = targets(ids, owner, is_answer, generator)
        logits, balance, loads = model(ids, mask, wanted, torch.bfloat16)
        losses = F.cross_entropy(logits, expected, reduction="none")
        answer, text = losses[of_answer].mean(), losses[~of_answer].mean()
        (answer + 0.2 * text + BALANCE * balance).backward()
        for stepper in steppers:
            for group in stepper.param_groups:
                base = MUON_RATE if isinstance(stepper, Muon) else ADAM_RATE
                group["lr"] = base * rate(step)
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        step += 1
        seen += ids.numel()
        for name, value in dict(answer=answer, text=text, balance=balance).items():
            sums[name] += value.item() / 50
        if step % 50 == 0:
            elapsed = time.monotonic() - started
            shares = loads / loads.sum(dim=1, keepdim=True)
            line = {name: round(value, 4) for name, value in sums.items()}
            line |= dict(step=step, tokens_per_second=round(seen / elapsed))
            line |= dict(least_expert=round(shares.min().item(), 4))
            with open(args.folder / "log.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            sums = dict.fromkeys(sums, 0.0)
        if time.monotonic() - saved_at > 180:
            saved_at = time.monotonic()
            save_all(checkpoint, step, model, steppers)
    save_all(checkpoint, step, model, steppers)


def save_all(checkpoint: Path, step: int, model: Mixtral, steppers) -> None:
    save(
        checkpoint,
        step=step,
        config=model.c.asdict(),
        model=model.state_dict(),
        optimizers=[stepper.state_dict() for stepper in steppers],
    )


if __name__ == "__main__":
    main()
