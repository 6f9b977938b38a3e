"""The tiny random base models: what generate.py writes under model/.

Every weight, norm and bias is random enough that a swapped operand changes the result, and no two
sizes that could be mixed up are equal (H 32, heads 4, key/value heads 2, F 48, V 53, N*D != H in
qwen3). Each directory is what Hugging Face writes; the exceptions are rewritten on purpose, so that
older spellings are read too.
"""

import json
from pathlib import Path

import torch
import families
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
    Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

VOCABULARY = 53
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    bos_token_id=1, eos_token_id=2)


def rope(kind="default", theta=10000.0, **fields):
    return dict(rope_type=kind, rope_theta=theta, **fields)


# Wave lengths at theta 50 and D 8 are 6.3, 16.7, 44 and 118: with these bounds one is kept, two are
# interpolated and one is divided by the factor.
LLAMA3 = dict(factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)


# At theta 50 and D 8 the ramp runs from pair 0.2 to pair 2.4, or from 0 to 3 where it is truncated.
YARN = dict(factor=3.0, original_max_position_embeddings=16, beta_fast=2.0, beta_slow=0.25)
# Two of the three sequences are longer than this.
SHORT = dict(max_position_embeddings=6)


def llama(**fields):
    fields.setdefault("rope_parameters", rope())
    return LlamaForCausalLM(LlamaConfig(**(SIZES | dict(tie_word_embeddings=False) | fields)))


def mistral(**fields):
    own = dict(sliding_window=4, rope_parameters=rope(theta=1000.0), rms_norm_eps=1e-5)
    return MistralForCausalLM(MistralConfig(**(SIZES | own | fields)))


def qwen2(**fields):
    own = dict(rope_parameters=rope(theta=1000000.0), tie_word_embeddings=True)
    return Qwen2ForCausalLM(Qwen2Config(**(SIZES | own | fields)))


def qwen3(**fields):
    # head_dim 16: N*D = 64 is not H.
    own = dict(num_hidden_layers=3, head_dim=16, rope_parameters=rope(theta=5000.0),
               tie_word_embeddings=False)
    return Qwen3ForCausalLM(Qwen3Config(**(SIZES | own | fields)))


def gpt2(**fields):
    sizes = dict(vocab_size=VOCABULARY, n_positions=48, n_embd=32, n_layer=2, n_head=4,
                 n_inner=None, bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(GPT2Config(**(sizes | fields)))


def old_spelling(theta, scaling):
    """Rewrites config.json as transformers 4 wrote it: rope_theta and rope_scaling, no head_dim."""
    def edit(config):
        config.pop("rope_parameters")
        config.pop("head_dim")
        config.update(rope_theta=theta, rope_scaling=scaling, transformers_version="4.44.2",
                      torch_dtype=config.pop("dtype"))
    return edit


def sparse(config):
    """Leaves out of config.json what is the family's default."""
    defaults = AutoConfig.for_model(config["model_type"])
    for name in list(config):
        if name != "model_type" and getattr(defaults, name, None) == config[name]:
            del config[name]
    if config["model_type"] == "llama":  # whose default is the number of heads
        config.pop("num_key_value_heads")
    for name in ("rope_parameters", "layer_types", "head_dim", "n_inner"):
        config.pop(name, None)


def tied_in_words(config):
    """Says of a model with a head of its own that it has none."""
    config["tie_word_embeddings"] = True


def copied_head(tensors):
    """A head in the file that is the embedding table again."""
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def head_alone(tensors):
    """The tied tensor under the head's name alone."""
    tensors = dict(tensors)
    return tensors | {"lm_head.weight": tensors.pop("model.embed_tokens.weight")}


def hub_gpt2(tensors):
    """The names of `gpt2` as it was published: no prefix, and the causal masks as buffers."""
    bare = {name.removeprefix("transformer."): value for name, value in tensors.items()}
    for block in range(2):
        bare[f"h.{block}.attn.bias"] = torch.tril(torch.ones(1, 1, 48, 48)).to(torch.uint8)
    return bare


# name -> how the model is made, and what is done to its directory afterwards.
BASES = {
    "llama": dict(make=llama),
    "llama-old-config": dict(make=lambda: llama(rope_parameters=rope(theta=500.0)),
                             config=old_spelling(500.0, None)),
    "llama-linear": dict(make=lambda: llama(
        rope_parameters=rope("linear", 100.0, factor=2.0), tie_word_embeddings=True)),
    "llama-linear-old-config": dict(
        make=lambda: llama(rope_parameters=rope("linear", 100.0, factor=2.0)),
        config=old_spelling(100.0, {"type": "linear", "factor": 2.0})),
    "llama-llama3": dict(make=lambda: llama(rope_parameters=rope("llama3", 50.0, **LLAMA3))),
    "llama-llama3-old-config": dict(
        make=lambda: llama(rope_parameters=rope("llama3", 50.0, **LLAMA3)),
        config=old_spelling(50.0, dict(rope_type="llama3", **LLAMA3))),
    "llama-biases": dict(make=lambda: llama(attention_bias=True, mlp_bias=True, head_dim=12)),
    "llama-output-bias": dict(make=lambda: llama(attention_bias=True)),
    "llama-tied": dict(make=lambda: llama(tie_word_embeddings=True)),
    "llama-bf16": dict(make=llama, dtype=torch.bfloat16),
    "llama-f16-sharded": dict(make=llama, dtype=torch.float16, max_shard_size="12KB"),
    "llama-sharded": dict(make=llama, max_shard_size="24KB"),
    "mistral": dict(make=mistral),
    "qwen2": dict(make=qwen2),
    "qwen2-window": dict(make=lambda: qwen2(
        use_sliding_window=True, sliding_window=3, max_window_layers=1)),
    "qwen3": dict(make=qwen3),
    "gpt2": dict(make=gpt2),
    "gpt2-hub-names": dict(make=gpt2, dtype=torch.float16, tensors=hub_gpt2),
    # Stretched positions, and every other constant unlike its default.
    "llama-yarn": dict(make=lambda: llama(
        rope_parameters=rope("yarn", 50.0, mscale=0.7, mscale_all_dim=0.4, truncate=False, **YARN),
        hidden_act="quick_gelu", rms_norm_eps=1e-3, head_dim=8)),
    "qwen2-yarn-old-config": dict(
        make=lambda: qwen2(rope_parameters=rope("yarn", 50.0, attention_factor=1.3, **YARN),
                           use_sliding_window=True, sliding_window=3, max_window_layers=1),
        config=lambda config: (config.pop("rope_parameters"), config.update(
            rope_theta=50.0, rope_scaling=dict(type="yarn", attention_factor=1.3, **YARN)))),
    "llama-dynamic": dict(cached=True, make=lambda: llama(
        rope_parameters=rope("dynamic", 50.0, factor=2.5), hidden_act="relu2", rms_norm_eps=2e-3,
        **SHORT)),
    "qwen3-dynamic": dict(cached=True, make=lambda: qwen3(
        rope_parameters=rope("dynamic", 90.0, factor=1.5), attention_bias=True, **SHORT)),
    "gpt2-quick-gelu": dict(make=lambda: gpt2(
        n_inner=40, activation_function="quick_gelu", layer_norm_epsilon=1e-3,
        scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True,
        tie_word_embeddings=False)),
    # A configuration that leaves to transformers what it can.
    "llama-sparse-config": dict(make=lambda: llama(num_key_value_heads=4), config=sparse),
    "mistral-sparse-config": dict(
        make=lambda: MistralForCausalLM(MistralConfig(**(SIZES | dict(
            num_attention_heads=16, num_key_value_heads=8)))), config=sparse),
    "qwen3-sparse-config": dict(
        make=lambda: qwen3(head_dim=128, num_hidden_layers=1, num_attention_heads=2,
                           rope_parameters=rope()), config=sparse),
    "gpt2-sparse-config": dict(make=gpt2, config=sparse),
    # Files that contradict what the configuration says of the head.
    "llama-other-head": dict(make=llama, config=tied_in_words),
    "llama-other-head-sharded": dict(make=llama, config=tied_in_words, max_shard_size="24KB"),
    "gpt2-other-head": dict(make=lambda: gpt2(tie_word_embeddings=False), config=tied_in_words),
    "gpt2-hub-names-other-head": dict(
        make=lambda: gpt2(tie_word_embeddings=False), config=tied_in_words, tensors=hub_gpt2),
    "llama-copied-head": dict(make=lambda: llama(tie_word_embeddings=True), tensors=copied_head),
    "llama-head-alone": dict(make=lambda: llama(tie_word_embeddings=True), tensors=head_alone),
}


BASES |= families.BASES | families.VARIANTS


def randomise(model, generator, norms_around=1.0):
    """Weights of std 0.25, norm weights around 1 or 0, biases of std 0.2."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name or ".ln_" in name
            if name.endswith("bias"):
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(norms_around + 0.3 * noise if is_norm else 0.25 * noise)


def write_base(name, directory: Path):
    spec = BASES[name]
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    torch.manual_seed(0)
    model = spec["make"]()
    randomise(model, generator, spec.get("norms_around", 1.0))
    model = model.to(spec.get("dtype", torch.float32))
    limits = {"max_shard_size": spec["max_shard_size"]} if "max_shard_size" in spec else {}
    model.save_pretrained(directory, **limits)
    (directory / "generation_config.json").unlink(missing_ok=True)
    if "tensors" in spec:
        path = directory / "model.safetensors"
        save_file(spec["tensors"](load_file(path)), path, metadata={"format": "pt"})
    if "config" in spec:
        path = directory / "config.json"
        config = json.loads(path.read_text())
        spec["config"](config)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
