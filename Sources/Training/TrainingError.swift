import Tensors

/// What can go wrong with a run besides its settings and input files.
public enum TrainingError: ClassifiedError {
  /// The output directory or a file in it cannot be made.
  case cannotWrite(path: String, reason: String)
  /// The output directory holds another run.
  case outputInUse(path: String, found: String)
  /// A directory that is to be made is there and holds something.
  case notEmpty(path: String, found: String)
  /// A checkpoint of full fine-tuning holds a model's weights, not an adapter.
  case noAdapter(path: String, method: String)
  /// Another process writes to the output directory.
  case outputLocked(path: String)
  /// The checkpoint belongs to another run.
  case resumeMismatch(path: String, what: String, stored: String, given: String)
  /// A gradient is NaN or infinite.
  case nonFiniteGradient(tensor: String, step: Int)
  /// The dataset was made with a tokenizer that is not the model's.
  case otherTokenizer(data: String, found: Int, tokenizer: String, size: Int)
  /// A dataset was made with a tokenizer of other tokens.
  case otherTokens(data: String, tokenizer: String)
  /// Two settings that come from different places do not fit together.
  case methodMismatch(given: String, adapter: String, path: String)
  /// A file that belongs to the base cannot be copied into the new model directory.
  case cannotCopy(from: String, to: String, reason: String)
  /// A merged model does not compute what base and adapter do.
  case mergeDiffers(error: Double, limit: Double)

  /// Outputs, checkpoints, and the run itself.
  public var errorClass: ErrorClass {
    switch self {
    case .cannotWrite, .outputInUse, .outputLocked, .notEmpty, .cannotCopy: .output
    case .noAdapter, .otherTokenizer, .otherTokens: .input
    case .nonFiniteGradient, .mergeDiffers: .failure
    case .resumeMismatch, .methodMismatch: .usage
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .cannotWrite(let path, let reason):
      "Cannot write \(path): \(reason). Choose another --output-dir or make room for it."
    case .outputInUse(let path, let found):
      "The output directory \(path) already holds a run (\(found)). Give another --output-dir, or "
        + "--resume to go on with that run."
    case .notEmpty(let path, let found):
      "The directory \(path) is not empty (\(found)). Give another --output-dir."
    case .noAdapter(let path, let method):
      "\(path) is a checkpoint of '\(method)' and holds no adapter. 'swift-peft-train merge --model BASE "
        + "--adapter \(path) --output-dir DIR' makes a model directory of it."
    case .outputLocked(let path):
      "Another run is writing to \(path). Wait for it, or give another --output-dir."
    case .resumeMismatch(let path, let what, let stored, let given):
      "Cannot resume from \(path): it was trained with \(what) \(stored), this run has \(given). Use "
        + "the same, or start a new run (with --adapter \(path) to begin from these weights)."
    case .nonFiniteGradient(let tensor, let step):
      "The gradient of '\(tensor)' is not finite in step \(step). Lower --learning-rate, raise "
        + "--warmup-steps, or resume from the last checkpoint with other data."
    case .otherTokenizer(let data, let found, let tokenizer, let size):
      "\(data) was made with another tokenizer, of \(found) ids; \(tokenizer) has \(size). Make the "
        + "dataset again with the model's own tokenizer ('swift-peft-train prepare --model DIR …')."
    case .otherTokens(let data, let tokenizer):
      "\(data) was made with another tokenizer: its ids mean other words than in \(tokenizer). Make "
        + "the dataset again with the model's own tokenizer ('swift-peft-train prepare --model DIR …')."
    case .methodMismatch(let given, let adapter, let path):
      "--method is \(given), but the adapter \(path) is one of \(adapter). Leave --method out, or "
        + "give another --adapter."
    case .cannotCopy(let from, let to, let reason):
      "Cannot copy \(from) to \(to): \(reason)."
    case .mergeDiffers(let error, let limit):
      "The merged model's logits are off by \(error) of their norm from base plus adapter, and "
        + "rounding explains \(limit) at most. Nothing was written. With --dtype f32 there is no "
        + "rounding; where that fails too, use the base together with the adapter."
    }
  }
}
