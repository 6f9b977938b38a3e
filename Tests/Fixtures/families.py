"""The families besides the first five: a tiny base each, and the cases of every method on it.

To add a family is to add its base here. Every constant of it is unlike its default and unlike the
others, so that one that is forgotten or mixed up shows. H 16, heads 4, D 6 where a family has a D of
its own (else 4), key/value heads 2, F 20, V 53.
"""

from transformers import AutoConfig, AutoModelForCausalLM

import hooked
from cases import full, lora
from methods import adalora, ia3, miss, p_tuning, prefix, prompt

SIZES = dict(
    vocab_size=53, hidden_size=16, intermediate_size=20, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(theta, kind="default", **fields):
    return dict(rope_type=kind, rope_theta=theta, **fields)


def make(model_type, cached=False, norms_around=1.0, **fields):
    """A base; `norms_around` is what the weights of norms are drawn around."""
    def build():
        config = AutoConfig.for_model(model_type, **(SIZES | fields))
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return dict(make=build, cached=cached, norms_around=norms_around)


BASES = {
    # Every second block turns nothing, and has a window.
    "smollm3": make(
        "smollm3", head_dim=6, no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=4,
        mlp_bias=True, rope_parameters=rope(700.0), rms_norm_eps=3e-3,
        hidden_act="gelu_pytorch_tanh", tie_word_embeddings=False),
    "olmo2": make(
        "olmo2", head_dim=6, attention_bias=True, rope_parameters=rope(300.0), rms_norm_eps=2e-3,
        hidden_act="gelu", tie_word_embeddings=True),
    "granite": make(
        "granite", head_dim=6, attention_bias=True, mlp_bias=True, rope_parameters=rope(900.0),
        rms_norm_eps=4e-3, hidden_act="gelu", tie_word_embeddings=True, embedding_multiplier=3.0,
        logits_scaling=2.5, residual_multiplier=0.7, attention_multiplier=0.2),
    # Six of eight features turn, by other frequencies in the two longer sequences.
    "phi3": make(
        "phi3", cached=True, num_attention_heads=2, num_key_value_heads=1, sliding_window=5,
        rms_norm_eps=6e-3, hidden_act="gelu", tie_word_embeddings=True,
        original_max_position_embeddings=6, rope_parameters=rope(
            500.0, "longrope", partial_rotary_factor=0.75, short_factor=[1.1, 1.3, 1.7],
            long_factor=[1.5, 2.5, 4.0])),
    "gpt_neox": make(
        "gpt_neox", num_attention_heads=2, layer_norm_eps=3e-3, hidden_act="gelu_new",
        rope_parameters=rope(400.0, partial_rotary_factor=0.75)),
    "gemma2": make(
        "gemma2", norms_around=0.0, head_dim=6, query_pre_attn_scalar=9, sliding_window=4,
        attn_logit_softcapping=2.0, final_logit_softcapping=3.0, attention_bias=True,
        hidden_activation="silu", rms_norm_eps=5e-3, rope_parameters=rope(600.0),
        tie_word_embeddings=False),
    # A window in all blocks but the second, which has other positions.
    "gemma3_text": make(
        "gemma3_text", norms_around=0.0, head_dim=6, query_pre_attn_scalar=5, sliding_window=4,
        sliding_window_pattern=2, final_logit_softcapping=4.0, hidden_activation="gelu",
        rms_norm_eps=2e-3, rope_parameters=dict(
            full_attention=rope(800.0, "linear", factor=3.0), sliding_attention=rope(90.0))),
    "starcoder2": make(
        "starcoder2", sliding_window=4, norm_epsilon=4e-3, hidden_act="gelu_new",
        rope_parameters=rope(350.0), tie_word_embeddings=False),
    # In parallel, by one norm; three of four features would be no pairs, so two turn.
    "stablelm": make(
        "stablelm", layer_norm_eps=2e-3, hidden_act="gelu", use_qkv_bias=True,
        use_parallel_residual=True, tie_word_embeddings=True,
        rope_parameters=rope(250.0, partial_rotary_factor=0.5)),
    # Experts in every second block.
    "qwen3_moe": make(
        "qwen3_moe", head_dim=6, num_hidden_layers=4, num_experts=6, num_experts_per_tok=3,
        moe_intermediate_size=12, norm_topk_prob=True, decoder_sparse_step=2,
        use_sliding_window=True, sliding_window=5, rms_norm_eps=4e-3, hidden_act="gelu",
        rope_parameters=rope(450.0), tie_word_embeddings=True),
    "arcee": make(
        "arcee", head_dim=6, attention_bias=True, mlp_bias=True, rope_parameters=rope(550.0),
        rms_norm_eps=3e-3, hidden_act="gelu", tie_word_embeddings=True),
}

# Other ways that a family has, for logits alone.
VARIANTS = {
    "smollm3-biases": make(
        "smollm3", attention_bias=True, no_rope_layer_interval=2, num_hidden_layers=2,
        rope_parameters=rope(700.0)),
    "phi3-short": make("phi3", rope_parameters=rope(300.0), num_hidden_layers=2),
    "gpt_neox-sequential": make(
        "gpt_neox", use_parallel_residual=False, attention_bias=False, num_hidden_layers=2,
        rope_parameters=rope(400.0, partial_rotary_factor=0.5)),
    "gemma2-bare": make(
        "gemma2", norms_around=0.0, head_dim=6, attn_logit_softcapping=None,
        final_logit_softcapping=None, num_hidden_layers=2, rope_parameters=rope(600.0)),
    "starcoder2-bare": make(
        "starcoder2", use_bias=False, num_hidden_layers=2, rope_parameters=rope(350.0)),
    "stablelm-sequential": make(
        "stablelm", num_hidden_layers=2, rope_parameters=rope(250.0, partial_rotary_factor=0.5)),
    "arcee-relu2": make("arcee", num_hidden_layers=2, rope_parameters=rope(550.0)),
    # Weights as they come out of the softmax, and one expert a token.
    "qwen3_moe-one": make(
        "qwen3_moe", head_dim=6, num_experts=4, num_experts_per_tok=1, moe_intermediate_size=10,
        mlp_only_layers=[1], attention_bias=True, rope_parameters=rope(450.0)),
}

# Modules, where they are not Llama's: the blocks; what attention and feed-forward give; two names of
# projections for LoRA and MiSS, the first with a part in keys; those that (IA)3 scales; and of these
# those on their input.
MODULES = {
    "olmo2": dict(ends=["post_attention_layernorm", "post_feedforward_layernorm"]),
    "gemma2": dict(ends=["post_attention_layernorm", "post_feedforward_layernorm"]),
    "gemma3_text": dict(ends=["post_attention_layernorm", "post_feedforward_layernorm"]),
    "qwen3_moe": dict(ends=["self_attn.o_proj", "mlp"]),
    "phi3": dict(some=["qkv_proj", "gate_up_proj"], ia3=["qkv_proj", "down_proj"]),
    "gpt_neox": dict(
        blocks="gpt_neox.layers", ends=["attention.dense", "mlp.dense_4h_to_h"],
        some=["query_key_value", "dense_4h_to_h"], ia3=["query_key_value", "dense_4h_to_h"],
        inputs=["dense_4h_to_h"]),
    "starcoder2": dict(
        ends=["self_attn.o_proj", "mlp.c_proj"], some=["k_proj", "c_proj"],
        ia3=["k_proj", "v_proj", "c_proj"], inputs=["c_proj"]),
}
LLAMA = dict(
    blocks="model.layers", ends=["self_attn.o_proj", "mlp.down_proj"], some=["k_proj", "down_proj"],
    ia3=["k_proj", "v_proj", "down_proj"], inputs=["down_proj"])

# As AdapterHub writes them.
BOTTLENECK = dict(
    mh_adapter=True, output_adapter=True, is_parallel=False, non_linearity="swish", scaling=1.5,
    reduction_factor=16 / 5.5, dropout=0.0, init_weights="bert", leave_out=[], ln_after=False,
    ln_before=False, original_ln_before=False, original_ln_after=True, residual_before_ln=True,
    adapter_residual_before_ln=False, inv_adapter=None, inv_adapter_reduction_factor=None,
    cross_adapter=False, use_gating=False, phm_layer=False)


def modules(family):
    return LLAMA | MODULES.get(family, {})


def hook(model, case):
    """Bottlenecks of five features, by name."""
    names = modules(case["base"])
    return hooked.Hooked(model, 5, 1.5, "swish", names["blocks"], names["ends"]).parameters


def cases(family):
    """One case a method, with names of targets, since PEFT has defaults for some families alone."""
    names = modules(family)
    quiet = dict(epsilon=1e-4)  # some gradients are hardly more than rounding
    # What chooses trains along there, and a choice between two that are near is one of rounding.
    slow = dict(learning_rate=3e-3) if family == "qwen3_moe" else {}
    return {
        f"full-{family}": full(family, **quiet),
        f"lora-{family}": lora(family, target_modules=names["some"]),
        f"lora-{family}-all-linear": lora(family, quiet | slow, r=2, target_modules="all-linear"),
        f"adalora-{family}": adalora(family, target_modules=names["some"]),
        f"ia3-{family}": ia3(family, target_modules=names["ia3"],
                             feedforward_modules=names["inputs"]),
        f"miss-{family}": miss(family, scale=0.1, target_modules=names["some"]),
        f"prompt-tuning-{family}": prompt(family),
        f"p-tuning-{family}-mlp": p_tuning(family, "MLP"),
        f"prefix-tuning-{family}": prefix(family),
        f"bottleneck-{family}": dict(base=family, method="bottleneck", config=BOTTLENECK),
    }


CASES = {name: case for family in BASES for name, case in cases(family).items()}
CASES |= {
    # Gate and up alone, so that their wrapper is the only one; and what chooses, which trains whole.
    "lora-qwen3_moe-parameters": lora(
        "qwen3_moe", dict(epsilon=1e-4), target_modules=["q_proj"], use_rslora=True,
        target_parameters=["mlp.experts.gate_up_proj"], rank_pattern={"gate_up_proj": 3},
        modules_to_save=["gate"]),
    "full-qwen3_moe-one": full("qwen3_moe-one", epsilon=1e-4),
}
