"""Holds the model's mathematics against transformers' MixtralForCausalLM, on random weights.

    python check.py
"""

import tempfile

import torch
from safetensors.torch import save_file
from transformers import MixtralConfig, MixtralForCausalLM

import export
from model import Config, Mixtral


def main() -> None:
    torch.manual_seed(2)
    model = Mixtral(Config(vocab=512, n_layers=2))
    ids = torch.randint(0, 512, (1, 200))
    mask = torch.ones(1, 1, 200, 200, dtype=torch.bool).tril()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        ours, _, _ = model(ids, mask, torch.arange(200), torch.float32)
        save_file(export.tensors(model), f"{folder}/model.safetensors", metadata={"format": "pt"})
        MixtralConfig(**export.config_json(model.c)).save_pretrained(folder)
        theirs = MixtralForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits[0]
    worst = (ours - theirs).abs().max() / theirs.std()
    print(f"worst difference: {worst:.1e} standard deviations of the logits")
    assert worst < 1e-4


if __name__ == "__main__":
    main()
