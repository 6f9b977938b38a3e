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
    "smollm3": SIZES | dict(
        attention_bias=True, mlp_bias=True, use_sliding_window=True, sliding_window=5,
        no_rope_layers=[1, 0, 1], no_rope_layer_interval=2, tie_word_embeddings=False,
        pad_token_id=3),
    "olmo2": SIZES | dict(attention_bias=True),
    "granite": SIZES | dict(
        attention_bias=True, mlp_bias=True, embedding_multiplier=3.0, logits_scaling=2.5,
        residual_multiplier=0.7, attention_multiplier=0.3),
    # Heads of 8 of which 6 features turn.
    "phi3": {k: v for k, v in SIZES.items() if k not in ("head_dim", "rope_parameters")} | dict(
        num_attention_heads=48, num_key_value_heads=2, sliding_window=5, pad_token_id=3,
        rope_theta=700.0, partial_rotary_factor=0.75, original_max_position_embeddings=24,
        rope_scaling=dict(rope_type="longrope", short_factor=[1.1, 1.3, 1.7],
                          long_factor=[1.5, 2.5, 4.0])),
    "gpt_neox": dict(
        vocab_size=53, hidden_size=384, intermediate_size=40, num_hidden_layers=3,
        num_attention_heads=48, max_position_embeddings=96, layer_norm_eps=3e-4, hidden_act="relu",
        tie_word_embeddings=True, eos_token_id=7, use_parallel_residual=False, attention_bias=False,
        rotary_pct=0.75, rotary_emb_base=700.0),
    "gemma2": {k: v for k, v in SIZES.items() if k != "hidden_act"} | dict(
        hidden_activation="relu", tie_word_embeddings=False, attention_bias=True, sliding_window=5,
        query_pre_attn_scalar=9, attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
    "gemma3_text": {k: v for k, v in SIZES.items() if k not in (
        "hidden_act", "rope_parameters")} | dict(
        hidden_activation="relu", tie_word_embeddings=False, attention_bias=True, sliding_window=5,
        sliding_window_pattern=2, query_pre_attn_scalar=9, final_logit_softcapping=3.0,
        rope_theta=700.0, rope_local_base_freq=90.0,
        rope_scaling=dict(rope_type="linear", factor=3.0)),
    "starcoder2": {k: v for k, v in SIZES.items() if k not in (
        "rms_norm_eps", "head_dim")} | dict(
        norm_epsilon=3e-4, tie_word_embeddings=False, sliding_window=5, use_bias=False),
    "stablelm": {k: v for k, v in SIZES.items() if k not in (
        "rms_norm_eps", "head_dim", "rope_parameters")} | dict(
        num_attention_heads=96, num_key_value_heads=2, layer_norm_eps=3e-4, use_qkv_bias=True,
        use_parallel_residual=True, rope_theta=700.0, partial_rotary_factor=0.5),
    "arcee": SIZES | dict(attention_bias=True, mlp_bias=True),
    # The second of three blocks has experts.
    "qwen3_moe": SIZES | dict(
        attention_bias=True, use_sliding_window=True, sliding_window=5, num_experts=9,
        num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=True,
        decoder_sparse_step=2, mlp_only_layers=[2], output_router_logits=False,
        router_aux_loss_coef=0.1),
}
# Fields that families have and the configurations above have not.
ALSO = ["layer_types", "pretraining_tp", "qk_layernorm", "use_bidirectional_attention"]
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
    for name in ("attn_logit_softcapping", "final_logit_softcapping"):
        yield f"gemma2: no {name}", FAMILIES["gemma2"] | dict(model_type="gemma2", **{name: None})
    gemma3 = FAMILIES["gemma3_text"] | dict(model_type="gemma3_text")
    yield "gemma3_text: layer types", gemma3 | dict(
        layer_types=["full_attention", "sliding_attention", "full_attention"])
    yield "gemma3_text: new positions", without(
        gemma3, "rope_theta", "rope_local_base_freq", "rope_scaling") | dict(rope_parameters=dict(
            full_attention=dict(rope_type="default", rope_theta=300.0),
            sliding_attention=dict(rope_type="linear", rope_theta=200.0, factor=2.0)))
    phi3 = FAMILIES["phi3"] | dict(model_type="phi3")
    yield "phi3: short", without(
        phi3, "rope_scaling", "partial_rotary_factor", "original_max_position_embeddings")
    for name in ("su", "yarn", "linear", "longrope"):
        yield f"phi3: {name}", phi3 | dict(rope_scaling=phi3["rope_scaling"] | dict(rope_type=name))
    yield "phi3: factor", phi3 | dict(rope_scaling=phi3["rope_scaling"] | dict(factor=3.0))
    yield "phi3: attention factor", phi3 | dict(
        rope_scaling=phi3["rope_scaling"] | dict(attention_factor=1.3))
    yield "phi3: too few factors", phi3 | dict(
        rope_scaling=phi3["rope_scaling"] | dict(long_factor=[1.0]))
    for name in ("gpt_neox", "stablelm"):
        yield f"{name}: both switches", FAMILIES[name] | dict(
            model_type=name, use_parallel_residual=name == "gpt_neox", attention_bias=True)
    experts = FAMILIES["qwen3_moe"] | dict(model_type="qwen3_moe", decoder_sparse_step=1)
    yield "qwen3_moe: blocks without experts", experts | dict(mlp_only_layers=[0, 2])
    yield "qwen3_moe: no experts", experts | dict(num_experts=0)
    yield "qwen3_moe: the experts' other name", without(experts, "num_experts") | dict(
        num_local_experts=5)
    yield "smollm3: layer types", FAMILIES["smollm3"] | dict(
        model_type="smollm3",
        layer_types=["full_attention", "sliding_attention", "sliding_attention"])
    yield "smollm3: no window", FAMILIES["smollm3"] | dict(
        model_type="smollm3", use_sliding_window=False)
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
        for name in [field for field in fields if field != "pad_token_id"] + ALSO:
            if name in fields:
                yield f"{family} without {name}", without(full, name)
            yield f"{family} with {name} null", full | {name: None}
    for name, fields in list(rotary_cases()) + list(other_cases()):
        yield name, dict(model_type="llama") | fields


# Where an activation is measured: its name says nothing of what it computes.
PROBES = [-3.0, -0.7, 0.4, 2.5]


def first(module, *names):
    """The first of some attributes that a module has."""
    return next(getattr(module, name) for name in names if hasattr(module, name))


def facts(fields):
    """What a model of that configuration computes with, read off the model where it can be."""
    config = AutoConfig.for_model(**copy.deepcopy(fields))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    state = model.state_dict()
    decoder = first(model, "model", "transformer", "gpt_neox")
    blocks = first(decoder, "layers", "h")
    attention = [first(block, "self_attn", "attn", "attention") for block in blocks]
    sparse = [block.mlp for block in blocks if hasattr(block.mlp, "experts")]
    mlp = next((block.mlp for block in blocks if block.mlp not in sparse), sparse[0] if sparse else 0)
    norm = first(blocks[0], "input_layernorm", "ln_1", "post_attention_layernorm")
    ends = config.eos_token_id
    table = model.get_input_embeddings().weight.shape
    with torch.no_grad():
        function = first(getattr(mlp, "experts", mlp), "act_fn", "act", "activation_fn")
        probes = function(torch.tensor(PROBES))
    features = config.intermediate_size if mlp in sparse else 0
    if mlp not in sparse:
        inner = first(mlp, "up_proj", "c_fc", "dense_h_to_4h", "gate_up_proj")
        features = inner.nf if hasattr(inner, "nf") else inner.out_features
    if "sliding_attention" in (getattr(config, "layer_types", None) or []):
        assert config.sliding_window, "no mask can be made"
    result = dict(
        vocabulary=table[0], hidden=table[1], blocks=len(blocks),
        intermediate=features // (2 if hasattr(mlp, "gate_up_proj") else 1),
        heads=config.num_attention_heads, head_dim=first(attention[0], "head_dim", "head_size"),
        activation=[float(p) for p in probes], epsilon=first(norm, "variance_epsilon", "eps"),
        positions=config.max_position_embeddings,
        tied=model.get_output_embeddings().weight is model.get_input_embeddings().weight,
        ends=ends if isinstance(ends, list) else [] if ends is None else [ends],
        scales=[float(a.scaling) for a in attention],
        factors=[float(getattr(model.get_input_embeddings(), "scalar_embed_scale", 1)),
                 float(getattr(decoder, "embedding_multiplier", 1)),
                 float(getattr(blocks[0], "residual_multiplier", 1)),
                 1 / float(getattr(config, "logits_scaling", 1))],
        caps=[float(getattr(attention[0], "attn_logit_softcapping", None) or 0),
              float(getattr(config, "final_logit_softcapping", None) or 0)])
    if config.model_type == "gpt2":
        return result
    if config.model_type in ("mistral", "phi3", "starcoder2", "qwen3_moe"):  # by the mask alone
        windows = [config.sliding_window or 0] * len(blocks)
    else:
        windows = [getattr(a, "sliding_window", None) or 0 for a in attention]
    weights = {name.removesuffix(".weight"): p.shape for name, p in state.items()}
    keys = [shape for name, shape in weights.items() if name.endswith("layers.0.self_attn.k_proj")]
    biases = [any(name.endswith(f"layers.0.{path}.bias") for path in paths for name in state)
              for paths in [("self_attn.k_proj", "attention.query_key_value"),
                            ("self_attn.o_proj", "attention.dense"),
                            ("mlp.up_proj", "mlp.c_fc", "mlp.dense_h_to_4h")]]
    if sparse:
        gate = sparse[0].gate
        result |= dict(
            experts=[gate.num_experts, gate.top_k, sparse[0].experts.intermediate_dim,
                     int(gate.norm_topk_prob)],
            sparse=[block.mlp in sparse for block in blocks])
    return result | dict(
        key_value_heads=keys[0][0] // attention[0].head_dim if keys else getattr(
            config, "num_key_value_heads", config.num_attention_heads),
        biases=biases, key_norm=any(name.endswith("self_attn.k_norm.weight") for name in state),
        windows=windows, turning=[bool(getattr(a, "use_rope", True)) for a in attention],
        **rotary_facts(decoder, config))


def rotary_facts(decoder, config):
    rotary = type(decoder.rotary_emb)(config)
    if config.model_type == "gemma3_text":
        kinds = ["full_attention", "sliding_attention"]
        frequencies = [getattr(rotary, f"{kind}_inv_freq", None) for kind in kinds]
        return dict(schemes=[[] if f is None else f.tolist()[:4] for f in frequencies])
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    turning = int(head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))
    assert turning == 2 * len(rotary.inv_freq), "features that turn are no pairs"
    return dict(pairs=len(rotary.inv_freq), frequencies=rotary.inv_freq.tolist()[:4],
                amplitude=float(rotary.attention_scaling))


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
                             if value != family["facts"].get(key)}
        except Exception as error:
            case["refused"] = type(error).__name__
        written.append(json.dumps(case, sort_keys=True))
    text = json.dumps(families, sort_keys=True)
    lines = ",\n".join(written)
    (HERE / "configurations.json").write_text(
        f'{{"families": {text},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
