"""Mixtral's mathematics (arXiv 2401.04088), small and made for training on a CPU.

Experts are gathered into one batch of equal length each, so that their products are three batched
ones. `check.py` compares it with transformers' MixtralForCausalLM.
"""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Config:
    vocab: int = 3072
    dim: int = 256
    hidden_dim: int = 256
    n_layers: int = 5
    n_heads: int = 4
    n_kv_heads: int = 2
    n_experts: int = 8
    top_k: int = 2
    context: int = 1024
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    def asdict(self) -> dict:
        return asdict(self)


def rotations(config: Config, n: int) -> tuple[Tensor, Tensor]:
    frequencies = config.rope_base ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
    angles = torch.outer(torch.arange(n, dtype=torch.float32), frequencies)
    return angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Halves, as Hugging Face stores them. `x` is [batch, heads, tokens, head_dim]."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def parameter(*shape: int, scale: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * scale)


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        kv_dim = c.n_kv_heads * c.head_dim
        self.q = parameter(c.dim, c.dim, scale=c.dim**-0.5)
        self.k = parameter(kv_dim, c.dim, scale=c.dim**-0.5)
        self.v = parameter(kv_dim, c.dim, scale=c.dim**-0.5)
        self.o = parameter(c.dim, c.dim, scale=c.dim**-0.5 / (2 * c.n_layers) ** 0.5)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        c, (batch, n, _) = self.c, x.shape
        heads = lambda y, n_heads: y.view(batch, n, n_heads, c.head_dim).transpose(1, 2)
        q = rotate(heads(F.linear(x, self.q.to(x.dtype)), c.n_heads), cos, sin)
        k = rotate(heads(F.linear(x, self.k.to(x.dtype)), c.n_kv_heads), cos, sin)
        v = heads(F.linear(x, self.v.to(x.dtype)), c.n_kv_heads)
        group = c.n_heads // c.n_kv_heads
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return F.linear(y.transpose(1, 2).reshape(batch, n, c.dim), self.o.to(x.dtype))


class Experts(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.router = parameter(c.n_experts, c.dim, scale=c.dim**-0.5)
        self.w1 = parameter(c.n_experts, c.hidden_dim, c.dim, scale=c.dim**-0.5)
        self.w3 = parameter(c.n_experts, c.hidden_dim, c.dim, scale=c.dim**-0.5)
        down_scale = c.hidden_dim**-0.5 / (2 * c.n_layers) ** 0.5
        self.w2 = parameter(c.n_experts, c.dim, c.hidden_dim, scale=down_scale)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The experts' sum for tokens `[n, dim]`, the load-balancing loss, and tokens per expert."""
        c, n = self.c, x.shape[0]
        probabilities = F.softmax(F.linear(x.float(), self.router), dim=-1)
        weights, chosen = probabilities.topk(c.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=c.n_experts)
        # Few distinct lengths: kernels for a shape are made once.
        length = (int(counts.max()) + 255) // 256 * 256
        starts = counts.cumsum(0) - counts
        expert = chosen.flatten()[order]
        slot = expert * length + torch.arange(n * c.top_k) - starts[expert]
        gathered = x.new_zeros(c.n_experts * length, c.dim)
        gathered = gathered.index_copy(0, slot, x.index_select(0, order // c.top_k))
        gathered = gathered.view(c.n_experts, length, c.dim)
        gate = torch.bmm(gathered, self.w1.to(x.dtype).transpose(1, 2))
        up = torch.bmm(gathered, self.w3.to(x.dtype).transpose(1, 2))
        down = torch.bmm(F.silu(gate) * up, self.w2.to(x.dtype).transpose(1, 2))
        out = down.view(-1, c.dim).index_select(0, slot)
        out = out * weights.flatten()[order].unsqueeze(1).to(x.dtype)
        summed = torch.zeros_like(x).index_add(0, order // c.top_k, out)
        share = counts.float() / (n * c.top_k)
        balance = c.n_experts * (share * probabilities.mean(dim=0)).sum()
        return summed, balance, counts


class Layer(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.attention_norm = nn.Parameter(torch.ones(c.dim))
        self.attention = Attention(c)
        self.experts_norm = nn.Parameter(torch.ones(c.dim))
        self.experts = Experts(c)


class Mixtral(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.embedding = parameter(c.vocab, c.dim, scale=1.0)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c.n_layers))
        self.norm = nn.Parameter(torch.ones(c.dim))
        self.turn = nn.Parameter(nn.init.orthogonal_(torch.empty(c.dim, c.dim)))

    def output(self) -> Tensor:
        """The output matrix: the embedding, turned. One linear map of a head then copies every name,
        seen often or never; as matrices of their own, names are learnt one by one. (Unturned, the
        model would begin by repeating its last token.)"""
        return 0.5 * self.c.dim**-0.5 * self.embedding @ self.turn

    def forward(self, ids: Tensor, mask: Tensor, wanted: Tensor, dtype: torch.dtype):
        """Logits `[n_wanted, vocab]` after the tokens whose flat indices are `wanted`, the mean
        load-balancing loss, and tokens `[n_layers, n_experts]`. `ids` is [batch, tokens], `mask`
        is [batch, 1, tokens, tokens], true where a token may look."""
        c, (batch, n) = self.c, ids.shape
        cos, sin = (part.to(dtype) for part in rotations(c, n))
        x = F.embedding(ids, self.embedding).to(dtype)
        norm = lambda x, weight: F.rms_norm(x.float(), (c.dim,), weight, c.norm_epsilon).to(dtype)
        balances, loads = [], []
        for layer in self.layers:
            x = x + layer.attention(norm(x, layer.attention_norm), cos, sin, mask)
            inner = norm(x, layer.experts_norm).view(-1, c.dim)
            out, balance, load = layer.experts(inner)
            x = x + out.view(batch, n, c.dim)
            balances.append(balance)
            loads.append(load)
        x = norm(x.view(-1, c.dim).index_select(0, wanted), self.norm)
        logits = F.linear(x, self.output().to(dtype)).float()
        return logits, torch.stack(balances).mean(), torch.stack(loads)
