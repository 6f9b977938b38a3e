"""What generate.py and bottleneck.py share: the inputs, the loss, ten updates, and the files."""

import json
import shutil
import warnings
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent
STEPS = 10

# Three ragged sequences. The masks have zeros at the start, in the middle and at the end; the
# second one counts its first token, which is never a target whatever its mask says.
TOKENS = [[1, 17, 4, 33, 8, 8, 41, 29, 5, 12, 2], [1, 50, 23, 23, 7], [1, 9, 36, 14, 51, 3, 20, 2]]
MASKS = [[0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 1, 1, 1]]

DEFAULTS = dict(optimizer="adamw", learning_rate=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-8,
                weight_decay=0.0, max_grad_norm=0.0)


def require(versions):
    for package, (module, version) in versions.items():
        found = module.__version__.split("+")[0]
        if found != version:
            raise SystemExit(f"{package} is {found}; the fixtures are made with {version}")


def make_deterministic():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")


def seed_of(name):
    return sum(map(ord, name))


def empty_directory(path):
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def copy(tensor):
    return tensor.detach().clone().contiguous()


def parts(name, tensor):
    """A tensor under the names that model files have: one of all experts is a tensor an expert there."""
    if name.endswith(".experts.gate_up_proj"):
        path, half = name.removesuffix(".gate_up_proj"), tensor.shape[1] // 2
        return {f"{path}.{e}.{which}_proj.weight": copy(own[rows]) for e, own in enumerate(tensor)
                for which, rows in [("gate", slice(half)), ("up", slice(half, None))]}
    if name.endswith(".experts.down_proj"):
        path = name.removesuffix(".down_proj")
        return {f"{path}.{e}.down_proj.weight": copy(own) for e, own in enumerate(tensor)}
    return {name: copy(tensor)}


def forget_lengths(model):
    """Dynamic rotary positions go on with the longest sequence seen: this makes the model new."""
    for module in model.modules():
        if getattr(module, "rope_type", None) == "dynamic":
            module.inv_freq = module.original_inv_freq
            module.max_seq_len_cached = module.original_max_seq_len


def sequence_logits(model, tokens):
    """Logits of one sequence alone, [sequence, vocabulary]; rows of virtual tokens are left out."""
    forget_lengths(model)
    logits = model(input_ids=torch.tensor([tokens])).logits[0]
    return logits[logits.shape[0] - len(tokens):]


def cached_logits(model, tokens, first):
    """Logits of a sequence whose first tokens are read at once and the others one by one."""
    forget_lengths(model)
    result = model(input_ids=torch.tensor([tokens[:first]]), use_cache=True)
    every = [result.logits[0]]
    for token in tokens[first:]:
        result = model(input_ids=torch.tensor([[token]]), use_cache=True,
                       past_key_values=result.past_key_values)
        every.append(result.logits[0])
    return torch.cat(every)


def batch_loss(model):
    """Sum of cross-entropies over counted tokens of the batch, divided by their number."""
    total, count, every = 0.0, 0, []
    for tokens, mask in zip(TOKENS, MASKS):
        logits = sequence_logits(model, tokens)
        every.append(logits)
        targets = torch.tensor([t if m else -100 for t, m in zip(tokens, mask)][1:])
        total = total + torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="sum")
        count += int((targets >= 0).sum())
    return total / count, torch.cat(every)


def make_optimizer(settings, parameters):
    if settings["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, lr=settings["learning_rate"])
    return torch.optim.AdamW(
        parameters, lr=settings["learning_rate"], eps=settings["epsilon"],
        betas=(settings["beta1"], settings["beta2"]), weight_decay=settings["weight_decay"])


def record(model, case, parameters, directory):
    """Trains on the whole batch, step after step, and writes case.json and both tensor files.

    `case` has `base`, `method`, and optionally `training` (what differs from DEFAULTS), `steps`,
    `regulariser(model)`, which is added to the loss that is differentiated, and
    `after_step(model, step)`, whose results become the trace.
    """
    settings = DEFAULTS | case.get("training", {}) | dict(steps=case.get("steps", STEPS))
    tensors, everything = {}, list(parameters.values())
    with torch.no_grad():
        loss, logits = batch_loss(model)
    facts = dict(base=case["base"], method=case["method"], loss=float(loss), training=settings,
                 trainable_parameters=sum(p.numel() for p in everything))
    tensors["logits"] = copy(logits)
    if case["method"] != "full":
        tensors |= {f"start.{name}": copy(p) for name, p in parameters.items()}
    optimizer = make_optimizer(settings, everything)
    losses, norms, trace = [], [], []
    for step in range(1, settings["steps"] + 1):
        optimizer.zero_grad()
        loss, _ = batch_loss(model)
        losses.append(float(loss.detach()))
        extra = case["regulariser"](model) if "regulariser" in case else 0.0
        (loss + extra).backward()
        if step == 1:
            for name, parameter in parameters.items():
                zero = torch.zeros_like(parameter)
                tensors |= parts(
                    f"grad.{name}", zero if parameter.grad is None else parameter.grad)
        limit = settings["max_grad_norm"] or float("inf")
        norms.append(float(torch.nn.utils.clip_grad_norm_(everything, limit)))
        optimizer.step()
        if "after_step" in case:
            trace.append(case["after_step"](model, step))
    with torch.no_grad():
        facts |= dict(losses=losses, gradient_norms=norms, final_loss=float(batch_loss(model)[0]))
    save_file(tensors, directory / "golden.safetensors")
    final = {own: part for name, p in parameters.items() for own, part in parts(name, p).items()}
    save_file(final, directory / "final.safetensors")
    write_json(directory / "case.json", facts | ({"trace": trace} if trace else {}))
