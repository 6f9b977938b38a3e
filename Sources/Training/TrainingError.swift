import Diagnostics

/// What can go wrong with a run besides its settings and input files.
public enum TrainingError: ClassifiedError {
  /// The output directory holds another run.
  case outputInUse(path: String, found: String)
  /// A checkpoint of full fine-tuning holds a model's weights, not an adapter.
  case noAdapter(path: String, method: String)
  /// Another process writes to the output directory.
  case outputLocked(path: String)
  /// The checkpoint belongs to another run.
  case resumeMismatch(path: String, what: String, stored: String, given: String, key: String?)
  /// Updates in a row had a loss or gradient that is not finite: too many, or the last ones of a run.
  case diverged(steps: ClosedRange<Int>, why: String, cause: String, remedy: String)
  /// The base's bytes changed while the run used them.
  case baseChanged(place: String, since: Int)
  /// The dataset was made with a tokenizer that is not the model's.
  case otherTokenizer(data: String, found: Int, tokenizer: String, size: Int)
  /// A dataset was made with a tokenizer of other tokens.
  case otherTokens(data: String, tokenizer: String)
  /// Two settings that come from different places do not fit together.
  case methodMismatch(given: String, adapter: String, path: String)
  /// The loss of an evaluation is NaN or infinite.
  case nonFiniteEvaluation(data: String, split: String, examples: ClosedRange<Int>)
  /// A file of sample prompts is not what it must be.
  case badPrompts(path: String, line: Int?, reason: String)
  /// A merged model does not compute what base and adapter do.
  case mergeDiffers(error: Double, limit: Double)

  /// Outputs, checkpoints, and the run itself.
  public var errorClass: ErrorClass {
    switch self {
    case .outputInUse, .outputLocked: .output
    case .noAdapter, .otherTokenizer, .otherTokens, .badPrompts: .input
    case .diverged, .nonFiniteEvaluation, .mergeDiffers, .baseChanged: .failure
    case .resumeMismatch, .methodMismatch: .usage
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .outputInUse(let path, let found):
      "The output directory \(path) already holds a run (\(found)). Give another --output-dir, or "
        + "--resume to go on with that run."
    case .noAdapter(let path, let method):
      "\(path) is a checkpoint of '\(method)' and holds no adapter. 'swift-peft-train merge --model BASE "
        + "--adapter \(path) --output-dir DIR' makes a model directory of it."
    case .outputLocked(let path):
      "Another run is writing to \(path). Wait for it, or give another --output-dir."
    case .resumeMismatch(let path, let what, let stored, let given, let key):
      "Cannot resume from \(path): it was trained with \(what) \(stored), this run has \(given). Use "
        + "the same, "
        + (key.map { "or go on with the change by --allow-changed \($0), " } ?? "")
        + "or start a new run (with --adapter \(path) to begin from these weights)."
    case .diverged(let steps, let why, let cause, let remedy):
      "The updates of steps \(steps.lowerBound) to \(steps.upperBound) were skipped, \(why). The last one: "
        + "\(cause). \(remedy)"
    case .baseChanged(let place, let since):
      "The base changed while it was used: \(place) no longer has the bytes of the start, which it "
        + "had when it was last read, \(since == 0 ? "before step 1" : "after step \(since)"). Restore the file or "
        + "leave the node whose memory is at fault, and go on from "
        + (since == 0
          ? "the beginning." : "a checkpoint of step \(since) or earlier (--resume PATH).")
    case .otherTokenizer(let data, let found, let tokenizer, let size):
      "\(data) was made with another tokenizer, of \(found) ids; \(tokenizer) has \(size). Make the "
        + "dataset again with the model's own tokenizer ('swift-peft-train prepare --model DIR …')."
    case .otherTokens(let data, let tokenizer):
      "\(data) was made with another tokenizer: its ids mean other words than in \(tokenizer). Make "
        + "the dataset again with the model's own tokenizer ('swift-peft-train prepare --model DIR …')."
    case .methodMismatch(let given, let adapter, let path):
      "--method is \(given), but the adapter \(path) is one of \(adapter). Leave --method out, or "
        + "give another --adapter."
    case .nonFiniteEvaluation(let data, let split, let examples):
      "The loss is not a finite number. The first examples with such a loss are \(examples.lowerBound) "
        + "to \(examples.upperBound) of '\(split)' in \(data), counted from 0: base or adapter overflow "
        + "there or hold numbers that are not finite. 'swift-peft-train inspect' looks for those; "
        + "--precision f32 overflows later."
    case .badPrompts(let path, let line, let reason):
      "\(path)\(line.map { ":\($0)" } ?? "") is no prompt for --sample-prompts: \(reason). A line is a "
        + "text, {\"prompt\": …} or {\"messages\": […]}."
    case .mergeDiffers(let error, let limit):
      "The merged model's logits are off by \(error) of their norm from base plus adapter, and "
        + "rounding explains \(limit) at most. Nothing was written. With --dtype f32 there is no "
        + "rounding; where that fails too, use the base together with the adapter."
    }
  }
}
