"""Writes the golden fixtures: tiny random models, adapters, and what they must compute.

    python generate.py [--only SUBSTRING …]

needs torch 2.9.1, transformers 5.23.0, peft 0.21.2 and safetensors 0.8.0, runs on one CPU thread in
f32 with eager attention, and gives the same files again. README.md says what is in them.
"""

import argparse
import copy
import json
import tempfile
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import common
from bases import BASES, write_base
import families
import hooked
from cases import CASES as LORA_CASES
from common import HERE
from methods import CASES as METHOD_CASES

CASES = LORA_CASES | METHOD_CASES | families.CASES
INITIAL = Path(tempfile.mkdtemp()) / "initial"
VERSIONS = {"torch": (torch, "2.9.1"), "transformers": (transformers, "5.23.0"),
            "peft": (peft, "0.21.2")}


def load(base):
    model = AutoModelForCausalLM.from_pretrained(
        HERE / "model" / base, dtype=torch.float32, attn_implementation="eager")
    if hasattr(model.config, "num_experts"):  # the grouped product wants larger rows
        model.set_experts_implementation("eager")
    return model.eval()


def saved_name(name):
    """A parameter's name in adapter files and checkpoints, from its name in memory."""
    name = name.replace(".default", "").replace(".modules_to_save", "")
    return name.replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def trainable(model, method):
    """Trained tensors under the names that adapter files and checkpoints give them."""
    named = {saved_name(n): p for n, p in model.named_parameters() if p.requires_grad}
    if method in ("prompt-tuning", "prefix-tuning") and list(named) == [
            "prompt_encoder.embedding.weight"]:
        named = {"prompt_embeddings": named["prompt_encoder.embedding.weight"]}
    return named


def attach(model, case, seed):
    """The model with the case's adapter at its random start."""
    config = case["config"]()
    config.task_type = "CAUSAL_LM"
    model = peft.get_peft_model(model, config).eval()
    model.peft_config["default"].base_model_name_or_path = case["base"]
    if case.get("save_converted"):  # what the conversion takes off again
        save_initial(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                case["start"](name, parameter, generator)
    return model


def save_initial(model):
    """The factors that the adapter starts as, as an adapter of plain LoRA."""
    config = model.peft_config["default"]
    word, config.init_lora_weights = config.init_lora_weights, True
    model.save_pretrained(INITIAL)
    config.init_lora_weights = word


def save_converted(model, directory):
    """The adapter as PEFT converts it for the base as it was."""
    config = copy.deepcopy(model.peft_config["default"])
    model.save_pretrained(directory, path_initial_model_for_weight_conversion=str(INITIAL))
    model.peft_config["default"] = config
    tidy(directory)


def save(model, directory):
    """Saves the adapter. Sets are written in no particular order: sorting gives the same file."""
    model.save_pretrained(directory)
    tidy(directory)


def tidy(directory):
    (directory / "README.md").unlink(missing_ok=True)
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    for key, value in config.items():
        if isinstance(value, list) and key not in ("layers_to_transform", "trainable_token_indices"):
            config[key] = sorted(value)
    common.write_json(path, config)


def repeat_head(parameters, saved):
    """A head that is tied to a saved table is written again under its own name."""
    prefix = "base_model.model."
    table, head = prefix + "model.embed_tokens.weight", prefix + "lm_head.weight"
    if table in parameters and head in saved and head not in parameters:
        assert torch.equal(saved.pop(head), parameters[table])


def check_saved(path, parameters):
    """The names given to trained tensors are those that PEFT saved, with the same values."""
    saved = load_file(path)
    repeat_head(parameters, saved)
    # The base's own table and head, which PEFT writes where they are adapted.
    saved = {name: tensor for name, tensor in saved.items() if ".base_layer.weight" not in name}
    if any(name.startswith("prompt_encoder.") for name in parameters):
        return
    assert saved.keys() == parameters.keys(), saved.keys() ^ parameters.keys()
    for name, parameter in parameters.items():
        assert torch.equal(saved[name], parameter), name


def write_case(name, case):
    directory = common.empty_directory(HERE / "peft" / name)
    seed = common.seed_of(name)
    torch.manual_seed(seed)
    model = load(case["base"])
    if case["method"] == "bottleneck":
        model.requires_grad_(False)
        parameters = families.hook(model, case)
        hooked.randomise(parameters, seed)
        hooked.save(model, parameters, case["config"], directory / "adapter")
    elif case["method"] == "full":
        parameters = trainable(model.requires_grad_(True), "full")
    else:
        model = attach(model, case, seed)
        save(model, directory / "adapter")
        if case.get("save_converted"):
            save_converted(model, directory / "converted-adapter")
        parameters = trainable(model, case["method"])
        check_saved(directory / "adapter" / "adapter_model.safetensors", parameters)
    common.record(model, case, parameters, directory)
    if case.get("save_final"):  # AdaLoRA leaves pruned triplets out of the file
        save(model, directory / "final-adapter")


def write_model(name):
    directory = common.empty_directory(HERE / "model" / name)
    write_base(name, directory)
    model = load(name)
    with torch.no_grad():
        loss, logits = common.batch_loss(model)
        tensors = {"logits": common.copy(logits)}
        if BASES[name].get("cached"):
            tensors["cached_logits"] = common.copy(
                common.cached_logits(model, common.TOKENS[0], 4))
    save_file(tensors, directory / "golden.safetensors")
    common.write_json(directory / "golden.json", {"loss": float(loss)})


def write_manifest():
    """What must be there: every base with its model_type, every case with its base and method."""
    cases = {name: dict(base=case["base"], method=case["method"]) for name, case in CASES.items()}
    cases |= {name: dict(base=case[0], method="bottleneck") for name, case in hooked.CASES.items()}
    types = {name: json.loads((HERE / "model" / name / "config.json").read_text())["model_type"]
             for name in BASES}
    common.write_json(HERE / "manifest.json", dict(model=types, peft=cases))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--only", nargs="+", default=[""], help="write the fixtures whose name has one of these")
    only = parser.parse_args().only
    common.require(VERSIONS)
    common.make_deterministic()
    common.write_json(HERE / "inputs.json", {"tokens": common.TOKENS, "loss_mask": common.MASKS})
    for name in BASES:
        if any(part in name for part in only):
            write_model(name)
    for name, case in CASES.items():
        if any(part in name for part in only):
            write_case(name, case)
            print(name)
    write_manifest()


if __name__ == "__main__":
    main()
