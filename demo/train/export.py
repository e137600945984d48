"""Writes a training checkpoint as a Hugging Face folder, which `gatefold quantize` takes.

    python export.py checkpoint.pt tokenizer.model FOLDER
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from model import Config, Mixtral

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)


def load(checkpoint: str) -> Mixtral:
    state = torch.load(checkpoint, weights_only=True)
    model = Mixtral(Config(**state["config"]))
    model.load_state_dict(state["model"])
    return model


def tensors(model: Mixtral) -> dict[str, torch.Tensor]:
    """The weights under Hugging Face's names, each expert in tensors of its own."""
    out = {
        "model.embed_tokens.weight": model.embedding,
        "model.norm.weight": model.norm,
        "lm_head.weight": model.output(),
    }
    for layer_idx, layer in enumerate(model.layers):
        name = f"model.layers.{layer_idx}"
        out[f"{name}.input_layernorm.weight"] = layer.attention_norm
        out[f"{name}.post_attention_layernorm.weight"] = layer.experts_norm
        for part in "qkvo":
            out[f"{name}.self_attn.{part}_proj.weight"] = getattr(layer.attention, part)
        out[f"{name}.block_sparse_moe.gate.weight"] = layer.experts.router
        for part in ("w1", "w2", "w3"):
            for expert_idx, weight in enumerate(getattr(layer.experts, part)):
                out[f"{name}.block_sparse_moe.experts.{expert_idx}.{part}.weight"] = weight
    return {name: weight.detach().clone().contiguous() for name, weight in out.items()}


def config_json(c: Config) -> dict:
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "vocab_size": c.vocab,
        "hidden_size": c.dim,
        "intermediate_size": c.hidden_dim,
        "num_hidden_layers": c.n_layers,
        "num_attention_heads": c.n_heads,
        "num_key_value_heads": c.n_kv_heads,
        "num_local_experts": c.n_experts,
        "num_experts_per_tok": c.top_k,
        "max_position_embeddings": c.context,
        "rope_theta": c.rope_base,
        "rms_norm_eps": c.norm_epsilon,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "sliding_window": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def main(checkpoint: str, tokenizer: str, folder: str) -> None:
    model, out = load(checkpoint), Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors(model), out / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(tokenizer, out / "tokenizer.model")
    tokenizer_config = {
        "tokenizer_class": "LlamaTokenizer",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": CHAT_TEMPLATE,
    }
    for name, value in {"config": config_json(model.c), "tokenizer_config": tokenizer_config}.items():
        (out / f"{name}.json").write_text(json.dumps(value, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
