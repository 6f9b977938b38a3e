"""The adapters whose training is recorded: what generate.py writes under peft/.

A case names its base, its method, PEFT's configuration and how the trained tensors start: random
and non-zero, so that every gradient is.
"""

import torch
from peft import LoraConfig


def noise(parameter, generator):
    return torch.randn(parameter.shape, generator=generator)


def start_lora(name, parameter, generator):
    if "magnitude" in name:
        parameter.mul_(1 + 0.2 * noise(parameter, generator))
    elif "lora_" in name:
        parameter.copy_(0.3 * noise(parameter, generator))
    else:  # biases and modules_to_save start near the base's own values
        parameter.add_(0.1 * noise(parameter, generator))


def lora(base, training=None, **fields):
    fields = dict(r=4, lora_alpha=6) | fields
    return dict(base=base, method="lora", config=lambda: LoraConfig(**fields), start=start_lora,
                training=training or {})


def full(base, **training):
    return dict(base=base, method="full", training=dict(learning_rate=1e-3) | training)


FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gpt2"]

# A bias of GPT-2's keys adds the same to every score of a query: its gradient is zero but for
# rounding, which Adam would blow up to a full step. A larger epsilon keeps it small.
QUIET = dict(epsilon=1e-4)

CASES = {f"lora-{base}": lora(base) for base in FAMILIES}
CASES |= {f"lora-{base}-all-linear": lora(base, target_modules="all-linear") for base in FAMILIES}
CASES |= {
    "lora-llama-decay-clip": lora("llama", dict(weight_decay=0.01, max_grad_norm=1.0)),
    "lora-llama-sgd": lora("llama", dict(optimizer="sgd", learning_rate=0.03)),
    "lora-llama-rslora": lora("llama", use_rslora=True, target_modules=["q_proj", "down_proj"]),
    "lora-llama-patterns": lora(
        "llama", target_modules=["q_proj", "v_proj", "o_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 2, "o_proj": 3}, alpha_pattern={"v_proj": 1.5}),
    "lora-llama-layers": lora(
        "llama", target_modules=["k_proj", "gate_proj"], layers_to_transform=[1]),
    "lora-llama-regex": lora(
        "llama", target_modules=r".*\.layers\.\d+\.(self_attn\.(q|o)_proj|mlp\.up_proj)",
        exclude_modules=["layers.0.self_attn.q_proj"]),
    "lora-llama-dora": lora("llama", use_dora=True, target_modules=["q_proj", "up_proj"]),
    "lora-llama-head": lora("llama", modules_to_save=["lm_head"]),
    "lora-llama-tied-head": lora("llama-tied", modules_to_save=["lm_head"]),
    # A copy of a tied table trains alone: the head stays what it was.
    "lora-llama-tied-embedding": lora("llama-tied", modules_to_save=["embed_tokens"]),
    # Saved modules are not adapted, though they are targets.
    "lora-llama-saved-target": lora(
        "llama", target_modules=["q_proj", "v_proj"], modules_to_save=["q_proj"]),
    # A full path counts whatever layers_to_transform says.
    "lora-llama-path-and-layers": lora(
        "llama", target_modules=["model.layers.0.self_attn.q_proj", "up_proj"],
        layers_to_transform=[1], layers_pattern=["layers"]),
    "lora-llama-bf16": lora("llama-bf16"),
    "lora-llama-linear": lora("llama-linear", target_modules=["q_proj", "k_proj"]),
    "lora-llama-llama3": lora("llama-llama3", target_modules=["q_proj", "k_proj"]),
    "lora-llama-biases-lora-bias": lora(
        "llama-biases", lora_bias=True, target_modules=["q_proj", "o_proj", "down_proj"]),
    "lora-qwen2-bias-all": lora("qwen2", bias="all"),
    "lora-qwen2-bias-lora-only": lora("qwen2", bias="lora_only", target_modules=["k_proj"]),
    "lora-qwen2-window": lora("qwen2-window"),
    "lora-gpt2-bias-all": lora("gpt2", QUIET, bias="all", fan_in_fan_out=True),
    "lora-gpt2-bias-lora-only": lora("gpt2", QUIET, bias="lora_only", fan_in_fan_out=True),
    "lora-gpt2-lora-bias": lora("gpt2", QUIET, lora_bias=True, fan_in_fan_out=True),
    "lora-gpt2-dora": lora("gpt2", use_dora=True, target_modules=["c_attn", "mlp.c_proj"]),
    "lora-gpt2-projections": lora("gpt2", target_modules=["c_proj"], fan_in_fan_out=True),
    "lora-llama-yarn-all-linear": lora("llama-yarn", target_modules="all-linear"),
    "lora-qwen2-yarn": lora("qwen2-yarn-old-config", target_modules=["q_proj", "k_proj"]),
    "lora-llama-dynamic-all-linear": lora("llama-dynamic", target_modules="all-linear"),
    "lora-gpt2-quick-gelu-all-linear": lora("gpt2-quick-gelu", target_modules="all-linear"),
    "lora-llama-other-head": lora("llama-other-head", modules_to_save=["lm_head"]),
    "full-llama-yarn": full("llama-yarn"),
    "full-qwen3-dynamic": full("qwen3-dynamic", **QUIET),
    "full-gpt2-quick-gelu": full("gpt2-quick-gelu", **QUIET),
    "full-gpt2-other-head": full("gpt2-other-head", **QUIET),
    "full-llama": full("llama"),
    "full-llama-tied": full("llama-tied", weight_decay=0.01),
    "full-llama-biases": full("llama-biases"),
    "full-qwen3": full("qwen3", max_grad_norm=1.0),
    "full-qwen2": full("qwen2"),
    "full-gpt2": full("gpt2", **QUIET),
}


# The token table and the head, as two tensors or as one that both are.
TABLE, HEAD = ["embed_tokens", "q_proj"], ["lm_head", "q_proj"]
CASES |= {
    "lora-llama-table": lora("llama", target_modules=TABLE, rank_pattern={"embed_tokens": 3}),
    "lora-llama-tied-table": lora("llama-tied", dict(weight_decay=0.01), target_modules=TABLE),
    "lora-gpt2-table": lora("gpt2", target_modules=["wte", "c_attn"], fan_in_fan_out=True),
    "lora-llama-table-dora": lora("llama", use_dora=True, target_modules=TABLE),
    "lora-llama-head-target": lora("llama", target_modules=HEAD, use_rslora=True),
    "lora-llama-tied-head-target": lora("llama-tied", target_modules=HEAD),
    "lora-llama-tied-head-only": lora("llama-tied", target_modules=["lm_head"]),
    "lora-gpt2-head-target": lora("gpt2", target_modules=["lm_head", "c_attn"]),
    "lora-llama-tied-head-dora": lora("llama-tied", use_dora=True, target_modules=HEAD),
    "lora-llama-tied-both": lora("llama-tied", target_modules=["embed_tokens", "lm_head"]),
    "lora-llama-tokens": lora("llama", trainable_token_indices=[8, 3, 50]),
    "lora-llama-tied-tokens": lora("llama-tied", trainable_token_indices=[8, 3, 50]),
    "lora-gpt2-tokens": lora("gpt2", trainable_token_indices={"wte": [8, 3, 50]}, fan_in_fan_out=True),
    "lora-llama-tokens-apart": lora(
        "llama", trainable_token_indices={"embed_tokens": [17, 8], "lm_head": [8, 23, 2]}),
    "lora-llama-tied-tokens-apart": lora(
        "llama-tied", trainable_token_indices={"embed_tokens": [17, 8], "lm_head": [8, 23, 2]}),
    "lora-llama-tied-tokens-head": lora("llama-tied", trainable_token_indices={"lm_head": [8, 23]}),
    "lora-llama-tokens-and-head": lora("llama", target_modules=HEAD, trainable_token_indices=[8, 23]),
    "lora-llama-tied-ensured": lora("llama-tied", target_modules=TABLE, ensure_weight_tying=True),
    "lora-llama-tied-ensured-clip": lora(
        "llama-tied", dict(weight_decay=0.01, max_grad_norm=1.0), ensure_weight_tying=True,
        target_modules=r".*(lm_head|\.q_proj)"),
    "lora-llama-tied-ensured-dora": lora(
        # At the usual rate, what rounding does grows tenfold every few steps.
        "llama-tied", dict(learning_rate=2e-3), target_modules=TABLE, use_dora=True,
        ensure_weight_tying=True),
    "lora-llama-tied-ensured-saved": lora(
        "llama-tied", modules_to_save=["lm_head"], ensure_weight_tying=True),
    "lora-llama-tied-ensured-tokens": lora(
        "llama-tied", trainable_token_indices=[8, 3, 50], ensure_weight_tying=True),
}


def start_in_base(name, parameter, generator):
    """A little away from the factors that PEFT took out of the base."""
    parameter.add_(0.1 * noise(parameter, generator))


def in_base(base, word, training=None, **fields):
    return lora(base, training, init_lora_weights=word, **fields) | dict(
        start=start_in_base, save_converted=True)


# The base is less by the factors; what PEFT converts the adapter to, for the whole base, is in
# converted-adapter.
CASES |= {
    "lora-llama-pissa": in_base("llama", "pissa", target_modules=["q_proj", "v_proj", "up_proj"]),
    "lora-qwen2-pissa-rslora": in_base("qwen2", "pissa", use_rslora=True),
    "lora-gpt2-pissa": in_base("gpt2", "pissa", fan_in_fan_out=True),
    "lora-llama-olora": in_base("llama", "olora", target_modules=["k_proj", "down_proj"]),
}
