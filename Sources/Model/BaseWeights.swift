import Kernels
import Tensors

/// Hands out a base's tensors by name and shape, and knows which nobody asked for.
///
/// Matrices are used where they are mapped; vectors are copied to f32. Names are the canonical ones
/// of the full causal model; files saved from the bare decoder lack the first component
/// (`h.0.…` for `transformer.h.0.…`), which is tried next.
final class BaseWeights {
  /// Where tensors come from, which whoever uses a weight must keep.
  let source: any WeightSource
  private var asked: Set<String> = []
  private(set) var parameters: [Parameter] = []
  private var stored: [any BaseTensor] = []

  init(_ source: any WeightSource) { self.source = source }

  /// A projection's weight or a table, [rows, columns] as stored.
  func matrix(
    _ name: String, outputSize: Int, inputSize: Int,
    layout: WeightMatrix.Layout = .outputMajor, storedAs stored: String? = nil,
    hint: (_ found: [Int]) -> String = { _ in "" }
  ) throws(ModelError) -> Parameter {
    let shape =
      layout == .outputMajor ? [outputSize, inputSize] : [inputSize, outputSize]
    let tensor = try self.tensor(stored ?? name, shape: shape, hint: hint)
    let weight = try tensor.weight(layout: layout)
    let parts = [tensor] + source.companions(of: tensor.name)
    let parameter = Parameter(
      name: name, storedName: tensor.name, shape: shape, matrix: weight, layout: layout,
      storedBytes: parts.reduce(0) { $0 + $1.byteCount })
    parameters.append(parameter)
    return parameter
  }

  /// A bias or a norm's factor, [count].
  func vector(_ name: String, count: Int) throws(ModelError) -> Parameter {
    let tensor = try self.tensor(name, shape: [count], hint: { _ in "" })
    let storage = OwnedMatrix(rows: 1, columns: count)
    try tensor.copyFloats(into: storage.view)
    let parameter = Parameter(name: name, vector: storage)
    parameters.append(parameter)
    return parameter
  }

  // MARK: Embedding table and head

  /// The module path of every family's head in the full model.
  static let headPath = "lm_head"
  /// The name of its weight.
  static let headName = headPath + ".weight"

  /// The embedding table, [vocabulary, hidden].
  ///
  /// Some tools save a tied table under the head's name alone; it is taken from there.
  func embedding(_ name: String, _ c: DecoderConfiguration) throws(ModelError) -> Parameter {
    let head = savedHead(c)
    let isHeadAlone =
      c.tiesEmbeddings && !source.contains(storedName(name)) && source.contains(head)
    return try matrix(
      name, outputSize: c.vocabularySize, inputSize: c.hiddenSize,
      storedAs: isHeadAlone ? head : nil)
  }

  /// The head, [vocabulary, hidden]: the embedding table where the configuration ties them, unless
  /// the files hold a head with other numbers, which is then used, as transformers 5 does.
  func head(_ embedding: Parameter, _ c: DecoderConfiguration) throws(ModelError) -> Parameter {
    let head = savedHead(c)
    if c.tiesEmbeddings {
      guard source.contains(head), !asked.contains(head) else { return embedding }
      let stored = try source.tensor(named: head)
      if stored.isIdentical(to: try source.tensor(named: storedName(embedding.name))) {
        asked.insert(head)
        return embedding
      }
    }
    return try matrix(
      Self.headName, outputSize: c.vocabularySize, inputSize: c.hiddenSize, storedAs: head)
  }

  /// What the files call the head's weight: as the family's older ones did, where it is there.
  private func savedHead(_ c: DecoderConfiguration) -> String {
    if let older = c.names.savedHead, source.contains(older + ".weight") {
      return older + ".weight"
    }
    return Self.headName
  }

  /// Refuses files with tensors that the architecture has no place for.
  ///
  /// - Parameter ignoring: endings of buffers that some versions of transformers saved along.
  func finish(ignoring: [String]) throws(ModelError) {
    let extra = source.names.filter { name in
      !asked.contains(name) && !ignoring.contains { name.hasSuffix($0) }
    }
    if !extra.isEmpty { throw .unexpectedTensors(names: extra.sorted(), path: source.path) }
  }

  /// Looks for NaN and infinities in every `count`-th tensor from `part` on, so that the ranks of a
  /// node can share the work.
  func checkFinite(part: Int, of count: Int) throws(ModelError) {
    for (index, name) in asked.sorted().enumerated() where index % count == part {
      let tensor = try source.tensor(named: name)
      for part in [tensor] + source.companions(of: name) {
        if let element = part.firstNonFinite(bytes: 0..<part.byteCount) {
          throw .nonFiniteTensor(name: part.name, file: part.path, index: element)
        }
      }
    }
  }

  /// Everything that was asked for, as it is stored.
  var contents: BaseContents { BaseContents(stored, source: source) }

  /// The name, or where the file lacks it the bare decoder's.
  private func storedName(_ name: String) -> String {
    source.contains(name)
      ? name : name.split(separator: ".", maxSplits: 1).last.map(String.init) ?? name
  }

  private func tensor(_ name: String, shape: [Int], hint: (_ found: [Int]) -> String)
    throws(ModelError) -> any BaseTensor
  {
    let stored = storedName(name)
    guard source.contains(stored) else {
      let last = name.split(separator: ".").suffix(2).joined(separator: ".")
      let similar = source.names.filter { $0.hasSuffix(last) }.sorted().prefix(3)
      throw .missingTensor(name: name, path: source.path, similar: Array(similar))
    }
    let tensor = try source.tensor(named: stored)
    guard tensor.shape == shape else {
      throw .misshapenTensor(
        name: stored, file: tensor.path, found: tensor.shape, expected: shape,
        hint: hint(tensor.shape))
    }
    if asked.insert(stored).inserted {
      self.stored.append(tensor)
      self.stored += source.companions(of: stored)
    }
    return tensor
  }
}
