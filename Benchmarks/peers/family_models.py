#!/usr/bin/env python3
"""Models of random weights in the shape of each family's small published ones: what `benchmarks peers
--families` trains.

Transformers itself makes them, so that names, layouts and configurations are the family's own. Blocks
have the published width and there are few of them, with a vocabulary that is as much smaller: then each
part takes the share of a step that it has in the whole model. Prints one JSON object as its last line.
"""
import argparse
import json
import os

# Of each family: whose shape it is, blocks of the whole, vocabulary of the whole, and config.json's
# fields. Where no published model has about 10^9 parameters, the width is that of a smaller one.
FAMILIES = {
    "llama": ("Llama 3.2 1B", 16, 128256, dict(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
        head_dim=64, tie_word_embeddings=True)),
    "mistral": ("Mistral 7B at half its width", 18, 32768, dict(
        hidden_size=2048, intermediate_size=7168, num_attention_heads=16, num_key_value_heads=4,
        head_dim=128, sliding_window=None, tie_word_embeddings=False)),
    "qwen2": ("Qwen2.5 1.5B", 28, 151936, dict(
        hidden_size=1536, intermediate_size=8960, num_attention_heads=12, num_key_value_heads=2,
        tie_word_embeddings=True)),
    "qwen3": ("Qwen3 1.7B", 28, 151936, dict(
        hidden_size=2048, intermediate_size=6144, num_attention_heads=16, num_key_value_heads=8,
        head_dim=128, tie_word_embeddings=True)),
    "gpt2": ("GPT-2 XL", 48, 50257, dict(
        n_embd=1600, n_head=25, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)),
    "smollm3": ("SmolLM3 3B's blocks", 12, 128256, dict(
        hidden_size=2048, intermediate_size=11008, num_attention_heads=16, num_key_value_heads=4,
        tie_word_embeddings=True)),
    "olmo2": ("OLMo 2 1B", 16, 100352, dict(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=16, num_key_value_heads=16,
        tie_word_embeddings=False)),
    "granite": ("Granite 3.3 2B's blocks", 16, 49159, dict(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=8,
        embedding_multiplier=12.0, attention_multiplier=0.015625, residual_multiplier=0.22,
        logits_scaling=8.0, tie_word_embeddings=True)),
    "phi3": ("Phi-4 mini at two thirds of its width", 20, 200064, dict(
        hidden_size=2048, intermediate_size=5504, num_attention_heads=16, num_key_value_heads=8,
        tie_word_embeddings=True, resid_pdrop=0.0,
        rope_parameters=dict(
            rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.75))),
    "gpt_neox": ("Pythia 1B", 16, 50304, dict(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=8, tie_word_embeddings=False,
        rope_parameters=dict(
            rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.25))),
    "gemma2": ("Gemma 2 2B", 26, 256000, dict(
        hidden_size=2304, intermediate_size=9216, num_attention_heads=8, num_key_value_heads=4,
        head_dim=256, sliding_window=4096)),
    "gemma3_text": ("Gemma 3 1B", 26, 262144, dict(
        hidden_size=1152, intermediate_size=6912, num_attention_heads=4, num_key_value_heads=1,
        head_dim=256, sliding_window=512)),
    "starcoder2": ("StarCoder2 3B at two thirds of its width", 22, 49152, dict(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=16, num_key_value_heads=2,
        residual_dropout=0.0, embedding_dropout=0.0)),
    "stablelm": ("StableLM 2 1.6B", 24, 100352, dict(
        hidden_size=2048, intermediate_size=5632, num_attention_heads=32, num_key_value_heads=32,
        use_qkv_bias=True, hidden_dropout=0.0, tie_word_embeddings=False)),
    "arcee": ("AFM 4.5B at four fifths of its width", 16, 128000, dict(
        hidden_size=2048, intermediate_size=14336, num_attention_heads=16, num_key_value_heads=4,
        head_dim=128, tie_word_embeddings=False)),
    "qwen3_moe": ("Qwen3 30B-A3B's blocks, 32 of 128 experts", 6, 151936, dict(
        hidden_size=2048, intermediate_size=6144, moe_intermediate_size=768, num_experts=32,
        num_experts_per_tok=8, norm_topk_prob=True, num_attention_heads=32, num_key_value_heads=4,
        head_dim=128, tie_word_embeddings=False)),
}


def make(family, blocks, output):
    """Makes a model directory where there is none, and says what it is."""
    import torch
    import transformers

    whose, of_blocks, vocabulary, fields = FAMILIES[family]
    vocabulary = max(1024, (vocabulary * blocks // of_blocks + 63) // 64 * 64)
    config = transformers.AutoConfig.for_model(
        family, num_hidden_layers=blocks, vocab_size=vocabulary, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, **fields)
    if not os.path.exists(output):
        torch.manual_seed(0)
        config.dtype = torch.bfloat16
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        # It appears whole, so that the next run finds all of it or nothing.
        model.save_pretrained(output + ".partial", max_shard_size="100GB")
        os.rename(output + ".partial", output)
    hidden, heads = config.hidden_size, config.num_attention_heads
    return {
        "shape": whose, "of_blocks": of_blocks, "vocabulary_size": vocabulary, "hidden_size": hidden,
        "intermediate_size": getattr(config, "intermediate_size", None) or 4 * hidden,
        "heads": heads, "key_value_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": getattr(config, "head_dim", None) or hidden // heads,
        "is_tied": bool(config.tie_word_embeddings)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="print the families' names")
    parser.add_argument("--family", choices=list(FAMILIES))
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--output", help="model directory; kept where there is one")
    options = parser.parse_args()
    if options.list:
        print(json.dumps({"families": list(FAMILIES)}))
    elif not options.family or not options.output:
        parser.error("--family and --output are needed")
    else:
        print(json.dumps(make(options.family, options.blocks, options.output)))


if __name__ == "__main__":
    main()
