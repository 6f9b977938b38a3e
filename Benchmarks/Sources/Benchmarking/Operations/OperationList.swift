import Tensors

/// The operations that are timed, and those that are checked.
enum OperationList {
  /// Makes one operation, whose operands then take memory.
  typealias Maker = () -> any Operation

  /// Everything in a step of a job, on the sizes that a micro-batch of it has.
  ///
  /// - Parameter rows: tokens of a micro-batch.
  static func timed(_ job: Job, rows: Int, precisions: [Precision]) -> [Maker] {
    let shape = job.shape
    var makers: [Maker] = []
    for precision in precisions {
      for layer in layers(shape) {
        for forward in [true, false] {
          makers.append {
            LinearOperation(
              layer.name, rows: rows, input: layer.input, output: layer.output, forward: forward,
              precision: precision)
          }
        }
      }
      // The widest layer again, from blocks: beside its row in numbers.
      let widest = layers(shape).max { $0.input * $0.output < $1.input * $1.output }
      for format in BlockFormat.all {
        guard let widest, widest.input % format.elements == 0 else { continue }
        for forward in [true, false] {
          makers.append {
            LinearOperation(
              widest.name, rows: rows, input: widest.input, output: widest.output,
              forward: forward, precision: precision, format: format)
          }
        }
      }
      makers.append {
        HeadOperation(
          rows: rows, hiddenSize: shape.hiddenSize, vocabulary: shape.vocabularySize,
          precision: precision)
      }
    }
    for part in LoRAOperation.Part.allCases {
      makers.append {
        LoRAOperation(
          part, rows: rows, input: shape.hiddenSize, output: shape.intermediateSize, r: 16)
      }
    }
    let length = job.lengths[0]
    for precision in precisions {
      for forward in [true, false] {
        makers.append {
          AttentionOperation(
            lengths: Array(repeating: length, count: max(1, rows / length)),
            heads: shape.headCount, keyValueHeads: shape.keyValueHeadCount, dim: shape.headDim,
            forward: forward, precision: precision)
        }
      }
    }
    for forward in [true, false] {
      for layer in [false, true] {
        makers.append {
          NormOperation(rows: rows, columns: shape.hiddenSize, layer: layer, forward: forward)
        }
      }
      for gated in [true, false] {
        makers.append {
          ActivationOperation(
            rows: rows, columns: shape.intermediateSize, gated: gated, forward: forward)
        }
      }
    }
    makers.append { RotaryOperation(rows: rows, heads: shape.headCount, dim: shape.headDim) }
    let parameters = adapterParameters(shape, r: 16)
    makers.append { AdamWOperation(count: parameters) }
    makers.append { ExactReductionOperation(count: parameters, microBatches: 2) }
    return makers
  }

  /// The same operations on small sizes that no block or vector divides, so that edges show.
  static func checked() -> [Maker] {
    var makers: [Maker] = []
    for precision in Precision.allCases {
      for (rows, input, output) in [(1, 72, 40), (5, 33, 17), (67, 130, 201), (300, 96, 64)] {
        for forward in [true, false] {
          makers.append {
            LinearOperation(
              "layer", rows: rows, input: input, output: output, forward: forward,
              precision: precision)
          }
        }
      }
      // In f32 alone: the reference does not round the weight.
      for format in BlockFormat.all where precision == .f32 {
        for forward in [true, false] {
          makers.append {
            LinearOperation(
              "layer", rows: 35, input: 512, output: 70, forward: forward, precision: precision,
              format: format)
          }
        }
      }
      makers.append {
        HeadOperation(rows: 37, hiddenSize: 48, vocabulary: 611, precision: precision)
      }
    }
    for part in LoRAOperation.Part.allCases {
      for (rows, input, output, r) in [(67, 130, 201, 16), (5, 33, 17, 3)] {
        makers.append { LoRAOperation(part, rows: rows, input: input, output: output, r: r) }
      }
    }
    for forward in [true, false] {
      for (lengths, heads, keyValueHeads, dim) in [
        ([130, 1, 37], 6, 2, 16), ([70, 70], 4, 4, 40), ([97], 8, 1, 64),
      ] {
        for precision in Precision.allCases {
          makers.append {
            AttentionOperation(
              lengths: lengths, heads: heads, keyValueHeads: keyValueHeads, dim: dim,
              forward: forward, precision: precision)
          }
        }
      }
      for flag in [false, true] {
        makers.append { NormOperation(rows: 19, columns: 77, layer: flag, forward: forward) }
        makers.append { ActivationOperation(rows: 19, columns: 77, gated: flag, forward: forward) }
      }
    }
    makers.append { RotaryOperation(rows: 23, heads: 3, dim: 20) }
    makers.append { AdamWOperation(count: 40_003) }
    makers.append { ExactReductionOperation(count: 1003, microBatches: 3) }
    return makers
  }

  /// Parameters of LoRA on all linear layers.
  static func adapterParameters(_ shape: ModelShape, r: Int) -> Int {
    shape.blockCount * r * shape.projections.reduce(0) { $0 + $1.inputSize + $1.outputSize }
  }

  private struct Layer: Hashable {
    let name: String
    let input: Int
    let output: Int
  }

  /// The layers of different sizes, each with the names that have its size.
  private static func layers(_ shape: ModelShape) -> [Layer] {
    var result: [Layer] = []
    for projection in shape.projections {
      let name = String(projection.name.split(separator: ".")[1].prefix { $0 != "_" })
      if let index = result.firstIndex(where: {
        $0.input == projection.inputSize && $0.output == projection.outputSize
      }) {
        result[index] = Layer(
          name: result[index].name + "/" + name, input: projection.inputSize,
          output: projection.outputSize)
      } else {
        result.append(
          Layer(name: name, input: projection.inputSize, output: projection.outputSize))
      }
    }
    return result
  }
}
