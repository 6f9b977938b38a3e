import Tensors

/// Where in a checkpoint tensors are kept by name.
public enum CheckpointSection: String, Sendable, Hashable, CaseIterable {
  /// What trains, by its name in the adapter file.
  case adapter
  /// AdamW's running mean of the gradient, of each tensor that trains.
  case firstMoments = "optimizer/exp_avg"
  /// AdamW's running mean of the squared gradient.
  case secondMoments = "optimizer/exp_avg_sq"
  /// What the method keeps for itself.
  case method
}

/// The attributes of a checkpoint: where the run stood and what it was.
package struct CheckpointMetadata: Sendable, Hashable {
  /// Optimizer steps done.
  package var step: Int
  /// Epochs done, with their fraction.
  package var epoch: Double
  /// Examples seen.
  package var samplesSeen: Int
  package var method: String
  /// The resolved configuration as JSON.
  package var configuration: String
  /// What tells the base model apart.
  package var baseFingerprint: String
  /// What tells the dataset apart.
  package var datasetFingerprint: String

  /// Names where a run stands.
  package init(
    step: Int, epoch: Double, samplesSeen: Int, method: String, configuration: String,
    baseFingerprint: String, datasetFingerprint: String
  ) {
    self.step = step
    self.epoch = epoch
    self.samplesSeen = samplesSeen
    self.method = method
    self.configuration = configuration
    self.baseFingerprint = baseFingerprint
    self.datasetFingerprint = datasetFingerprint
  }
}

/// A named f32 tensor in somebody else's memory: written from there, and restored into it.
package struct CheckpointTensor {
  /// Its name.
  ///
  /// Dots are usual. A slash makes a group, which only the method section has use for.
  package let name: String
  /// Dimensions, outermost first; empty for a scalar.
  package let shape: [Int]
  /// The numbers, as many as the shape says, end to end.
  package let values: MatrixView

  package init(name: String, shape: [Int], values: MatrixView) {
    precondition(
      values.isContiguous && values.count == shape.reduce(1, *),
      "\(name) of shape \(shape) in a view of \(values.count) numbers")
    self.name = name
    self.shape = shape
    self.values = values
  }
}

/// A list of numbers that a method keeps besides f32 tensors.
package enum CheckpointArray: Sendable, Hashable {
  /// Stored as int64.
  case integers([Int64])
  /// Stored as float64.
  case reals([Double])
  /// Stored as uint8: which of a list are on, such as AdaLoRA's rank pattern.
  case flags([Bool])
}

/// A single value that a method keeps.
package enum CheckpointAttribute: Sendable, Hashable {
  /// Stored as int64.
  case integer(Int64)
  /// Stored as float64.
  case real(Double)
  /// Stored as UTF-8.
  case text(String)
}

/// Everything that a checkpoint holds, tensors by reference.
package struct CheckpointContents {
  /// Where the run stands.
  package var metadata: CheckpointMetadata
  /// The tensors of each section; a section without tensors is not written.
  package var tensors: [CheckpointSection: [CheckpointTensor]] = [:]
  /// Lists of the method, by name.
  package var methodArrays: [String: CheckpointArray] = [:]
  /// Values of the method, by name.
  package var methodAttributes: [String: CheckpointAttribute] = [:]

  /// Contents without tensors.
  package init(metadata: CheckpointMetadata) { self.metadata = metadata }
}
