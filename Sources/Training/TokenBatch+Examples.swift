import Datasets
import Model

extension TokenBatch {
  /// Lays the examples of a buffer end to end.
  func fill(from examples: ExampleBuffer) {
    clear()
    for sequence in 0..<examples.sequenceCount {
      beginSequence()
      for place in examples.sequence(sequence) {
        append(token: Int(examples.tokens[place]), isTarget: examples.counts[place] != 0)
      }
      endSequence()
    }
  }
}
