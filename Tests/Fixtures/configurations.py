"""What transformers makes of a config.json: writes configurations.json.

Each case is a family's config.json with some fields changed, and either what a model built from it
computes with, where that differs from the family's, or that transformers refuses it. A case leaves
one field out, or sets it to null, or spells rotary positions in one of the ways that were in use; so
the file holds the default of every field of every family that counts.

    pip install torch==2.9.1 transformers==5.23.0
    python Tests/Fixtures/configurations.py
"""

import copy
import json
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import common

HERE = Path(__file__).parent

# No value is a default, and no two that could be mixed up are equal.
SIZES = dict(
    vocab_size=53, hidden_size=384, intermediate_size=40, num_hidden_layers=3,
    num_attention_heads=64, num_key_value_heads=2, head_dim=8, max_position_embeddings=96, rms_norm_eps=3e-5,
    hidden_act="gelu", tie_word_embeddings=True, eos_token_id=7,
    rope_parameters=dict(rope_type="default", rope_theta=700.0))
WINDOWS = dict(use_sliding_window=True, sliding_window=5, max_window_layers=1)
FAMILIES = {
    "llama": SIZES | dict(attention_bias=True, mlp_bias=True),
    "mistral": SIZES | dict(sliding_window=5),
    "qwen2": {k: v for k, v in SIZES.items() if k != "head_dim"} | WINDOWS,
    "qwen3": SIZES | WINDOWS | dict(attention_bias=True),
    "gpt2": dict(
        vocab_size=53, n_positions=96, n_embd=384, n_layer=3, n_head=4, n_inner=40,
        activation_function="relu", layer_norm_epsilon=3e-4, scale_attn_weights=False,
        scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True,
        add_cross_attention=False, tie_word_embeddings=False, eos_token_id=7),
}
# Fields that families have and the configurations above have not.
ALSO = ["layer_types", "pretraining_tp"]
YARN = dict(rope_type="yarn", rope_theta=50.0, factor=3.0, original_max_position_embeddings=16,
            beta_fast=2.0, beta_slow=0.25, mscale=0.7, mscale_all_dim=0.4, truncate=False)
LLAMA3 = dict(rope_type="llama3", rope_theta=50.0, factor=4.0, low_freq_factor=1.0,
              high_freq_factor=4.0, original_max_position_embeddings=32)


def without(fields, *names):
    return {name: value for name, value in fields.items() if name not in names}


def rotary_cases():
    """Every way to write rotary positions, and every field of yarn left out or null."""
    base = without(FAMILIES["llama"], "rope_parameters")
    yield "rope: nothing", base
    yield "rope: theta alone", base | dict(rope_theta=900.0)
    yield "rope: theta null", base | dict(rope_theta=None)
    yield "rope: null and null", base | dict(rope_parameters=None, rope_scaling=None)
    yield "rope: empty", base | dict(rope_parameters={})
    yield "rope: parameters without a theta, theta beside them", base | dict(
        rope_theta=900.0, rope_parameters=dict(rope_type="linear", factor=2.0))
    yield "rope: both thetas", base | dict(
        rope_theta=900.0, rope_parameters=dict(rope_type="default", rope_theta=300.0))
    yield "rope: scaling and parameters", base | dict(
        rope_parameters=dict(rope_type="linear", rope_theta=300.0, factor=2.0),
        rope_scaling=dict(rope_type="linear", rope_theta=200.0, factor=5.0))
    yield "rope: type and rope_type", base | dict(
        rope_theta=900.0, rope_scaling=dict(type="linear", rope_type="llama3", **without(
            LLAMA3, "rope_type", "rope_theta")))
    yield "rope: old type", base | dict(rope_scaling=dict(type="linear", factor=2.0))
    yield "rope: unknown type", base | dict(rope_scaling=dict(type="nonsense", factor=2.0))
    yield "rope: dynamic", base | dict(rope_scaling=dict(type="dynamic", factor=2.0))
    yield "rope: dynamic without a factor", base | dict(rope_scaling=dict(type="dynamic"))
    yield "rope: linear without a factor", base | dict(rope_scaling=dict(type="linear"))
    yield "llama3", base | dict(rope_parameters=LLAMA3)
    yield "yarn", base | dict(rope_parameters=YARN)
    for name in without(LLAMA3, "rope_type"):
        yield f"llama3 without {name}", base | dict(rope_parameters=without(LLAMA3, name))
    for name in without(YARN, "rope_type"):
        yield f"yarn without {name}", base | dict(rope_parameters=without(YARN, name))
        yield f"yarn with {name} null", base | dict(rope_parameters=YARN | {name: None})
    for name, value in dict(beta_fast=0, beta_slow=0, mscale=0, mscale_all_dim=0, truncate=True,
                            attention_factor=1.3, factor=1.0).items():
        yield f"yarn with {name} {value}", base | dict(rope_parameters=YARN | {name: value})
    for kind in (YARN, LLAMA3):
        yield f"{kind['rope_type']}: original positions beside", base | dict(
            rope_parameters=kind, original_max_position_embeddings=24)
    yield "qwen2: yarn as its README has it", without(FAMILIES["qwen2"], "rope_parameters") | dict(
        model_type="qwen2", rope_theta=1000.0, rope_scaling=dict(
            type="yarn", factor=4.0, original_max_position_embeddings=24))


def other_cases():
    """Fields that depend on others."""
    for family in ("qwen2", "qwen3"):
        fields = FAMILIES[family] | dict(model_type=family)
        yield f"{family}: a window without a switch", without(fields, "use_sliding_window")
        yield f"{family}: layer types", fields | dict(
            layer_types=["sliding_attention", "full_attention", "sliding_attention"])
        yield f"{family}: layer types without a switch", fields | dict(
            use_sliding_window=False, layer_types=["full_attention"] * 3)
    yield "mistral: no window", FAMILIES["mistral"] | dict(
        model_type="mistral", sliding_window=None)
    yield "gpt2: names of other families", without(
        FAMILIES["gpt2"], "n_embd", "n_layer", "n_head", "n_positions") | dict(
        model_type="gpt2", hidden_size=384, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=96)
    for switches in [(True, True), (False, False)]:
        yield f"gpt2: scales {switches}", FAMILIES["gpt2"] | dict(
            model_type="gpt2", scale_attn_weights=switches[0],
            scale_attn_by_inverse_layer_idx=switches[1])
    for name in ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python",
                 "gelu_python_tanh", "gelu_accurate", "silu", "swish", "relu", "relu2", "tanh",
                 "quick_gelu", "mish", "gelu_10", "relu6", "leaky_relu", "sigmoid", "linear",
                 "hardswish", "laplace", "nonsense"):
        yield f"activation {name}", FAMILIES["llama"] | dict(hidden_act=name)


def cases():
    for family, fields in FAMILIES.items():
        full = dict(model_type=family) | fields
        yield f"{family}", full
        for name in list(fields) + ALSO:
            if name in fields:
                yield f"{family} without {name}", without(full, name)
            yield f"{family} with {name} null", full | {name: None}
    for name, fields in list(rotary_cases()) + list(other_cases()):
        yield name, dict(model_type="llama") | fields


# Where an activation is measured: its name says nothing of what it computes.
PROBES = [-3.0, -0.7, 0.4, 2.5]


def facts(fields):
    """What a model of that configuration computes with, read off the model where it can be."""
    config = AutoConfig.for_model(**copy.deepcopy(fields))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    state = model.state_dict()
    is_gpt2 = config.model_type == "gpt2"
    blocks = model.transformer.h if is_gpt2 else model.model.layers
    attention = [block.attn if is_gpt2 else block.self_attn for block in blocks]
    mlp = blocks[0].mlp
    ends = config.eos_token_id
    table = model.get_input_embeddings().weight.shape
    with torch.no_grad():
        probes = (mlp.act if is_gpt2 else mlp.act_fn)(torch.tensor(PROBES))
    result = dict(
        vocabulary=table[0], hidden=table[1], blocks=len(blocks),
        intermediate=mlp.c_fc.nf if is_gpt2 else mlp.up_proj.out_features,
        heads=attention[0].num_heads if is_gpt2 else config.num_attention_heads,
        head_dim=attention[0].head_dim, activation=[float(p) for p in probes],
        epsilon=blocks[0].ln_1.eps if is_gpt2 else blocks[0].input_layernorm.variance_epsilon,
        positions=config.n_positions if is_gpt2 else config.max_position_embeddings,
        tied=model.get_output_embeddings().weight is model.get_input_embeddings().weight,
        ends=ends if isinstance(ends, list) else [] if ends is None else [ends],
        scales=[float(a.scaling) for a in attention])
    if is_gpt2:
        return result
    if config.model_type == "mistral":
        windows = [config.sliding_window or 0] * len(blocks)
    else:
        windows = [getattr(a, "sliding_window", None) or 0 for a in attention]
    rotary = type(model.model.rotary_emb)(config)
    frequencies = rotary.inv_freq.tolist()
    return result | dict(
        key_value_heads=attention[0].k_proj.out_features // attention[0].head_dim,
        biases=[f"model.layers.0.{name}.bias" in state for name in (
            "self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj")],
        key_norm="model.layers.0.self_attn.k_norm.weight" in state, windows=windows,
        frequencies=frequencies[:4], amplitude=float(rotary.attention_scaling))


def main():
    common.require({"torch": (torch, "2.9.1"), "transformers": (transformers, "5.23.0")})
    common.make_deterministic()
    families = {family: dict(config=dict(model_type=family) | fields,
                             facts=facts(dict(model_type=family) | fields))
                for family, fields in FAMILIES.items()}
    written = []
    for name, fields in cases():
        family = families[fields["model_type"]]
        case = dict(name=name, family=fields["model_type"],
                    without=[key for key in family["config"] if key not in fields],
                    fields={key: value for key, value in fields.items()
                            if key not in family["config"] or value != family["config"][key]})
        try:
            case["facts"] = {key: value for key, value in facts(fields).items()
                             if value != family["facts"][key]}
        except Exception as error:
            case["refused"] = type(error).__name__
        written.append(json.dumps(case, sort_keys=True))
    text = json.dumps(families, sort_keys=True)
    lines = ",\n".join(written)
    (HERE / "configurations.json").write_text(
        f'{{"families": {text},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
