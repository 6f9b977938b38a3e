import Checkpointing
import DataParallel
import Foundation
import JSON
import PEFT
import Tensors

/// A checkpoint file read as a run's state: names, configuration and tensors.
public struct StoredCheckpoint {
  /// The file, opened and verified.
  package let reader: CheckpointReader
  /// The configuration of the run that wrote it.
  public let configuration: JSONValue

  /// Opens and verifies a file.
  ///
  /// - Throws: `CheckpointError`.
  public init(path: String) throws(CheckpointError) {
    try self.init(CheckpointReader(path: path))
  }

  package init(_ reader: CheckpointReader) {
    self.reader = reader
    configuration =
      (try? JSONValue(parsing: Data(reader.metadata.configuration.utf8))) ?? .object([:])
  }

  /// The method's `adapter_config.json`; nil for `full`.
  public var adapterConfiguration: JSONValue? { configuration["adapter_config"] }

  /// What a reader of the exported adapter should know; only the base could tell it again.
  public var exportNotes: [String] {
    configuration["training_state"]?["export_notes"]?.array?.compactMap(\.string) ?? []
  }

  /// The trained tensors by name.
  ///
  /// - Throws: `CheckpointError`.
  public func tensors(
    in section: CheckpointSection = .adapter
  ) throws(CheckpointError) -> [NamedTensor] {
    var tensors: [NamedTensor] = []
    for name in try reader.tensorNames(in: section) {
      tensors.append(
        NamedTensor(
          name: name, shape: try reader.shape(of: name, in: section),
          values: try reader.values(of: name, in: section)))
    }
    return tensors
  }

  /// Puts everything that was trained back: tensors, moments and what the method keeps.
  ///
  /// - Throws: `CheckpointError` where a tensor is missing or misshapen, `PEFTError`.
  public func restore(
    method: any PEFTMethod, arena: ParameterArena, optimizer: OptimizerState
  ) throws {
    try restoreValues(arena)
    try reader.restore(.firstMoments, into: optimizer.slots.map { optimizer.stored($0, \.first) })
    try reader.restore(
      .secondMoments, into: optimizer.slots.map { optimizer.stored($0, \.second) })
    try method.restore(methodState())
  }

  /// Puts the trained tensors back, and nothing else.
  ///
  /// - Throws: `CheckpointError` where one is missing or misshapen.
  func restoreValues(_ arena: ParameterArena) throws(CheckpointError) {
    try reader.restore(.adapter, into: StoredCheckpoint.values(arena))
  }

  /// What the method kept.
  ///
  /// - Throws: `CheckpointError`.
  func methodState() throws(CheckpointError) -> MethodState {
    var state = MethodState()
    state.tensors = try tensors(in: .method)
    if case .text(let text) = reader.methodAttributes["fields"],
      let fields = try? JSONValue(parsing: Data(text.utf8))
    {
      state.fields = fields.object ?? [:]
    }
    return state
  }

  /// Every tensor of an arena, where it lies: also a prompt that an encoder makes, which is what an
  /// export holds.
  static func values(_ arena: ParameterArena) -> [CheckpointTensor] {
    arena.slots.map {
      CheckpointTensor(name: $0.name, shape: $0.shape, values: arena.values($0))
    }
  }
}

extension CheckpointContents {
  /// A run's whole state, by reference.
  ///
  /// - Parameter storage: keeps copies of the method's own tensors alive; must outlive the contents.
  init(
    metadata: CheckpointMetadata, method: any PEFTMethod, arena: ParameterArena,
    optimizer: OptimizerState, storage: inout [Workspace]
  ) {
    self.init(metadata: metadata)
    tensors[.adapter] = StoredCheckpoint.values(arena)
    tensors[.firstMoments] = optimizer.slots.map { optimizer.stored($0, \.first) }
    tensors[.secondMoments] = optimizer.slots.map { optimizer.stored($0, \.second) }
    let state = method.state
    tensors[.method] = state.tensors.map { tensor in
      var plan = WorkspacePlan()
      let slot = plan.reserve(tensor.name, rows: 1, columns: tensor.values.count)
      let workspace = Workspace(plan)
      storage.append(workspace)
      workspace.view(slot).assign(tensor.values)
      return CheckpointTensor(
        name: tensor.name, shape: tensor.shape, values: workspace.view(slot))
    }
    if !state.fields.isEmpty {
      methodAttributes["fields"] = .text(JSONValue.object(state.fields).text())
    }
  }
}

extension OptimizerState {
  /// Both moments of a tensor.
  struct Moments {
    let first: MatrixView
    let second: MatrixView
  }

  /// One moment of a tensor under the tensor's name.
  func stored(_ slot: ParameterSlot, _ moment: KeyPath<Moments, MatrixView>) -> CheckpointTensor {
    let moments = Moments(first: firstMoment(slot), second: secondMoment(slot))
    return CheckpointTensor(
      name: slot.name, shape: slot.shape, values: moments[keyPath: moment])
  }
}

extension Communicator {
  /// A method's state as rank 0 has it; what the others give is ignored.
  func broadcast(_ state: MethodState) throws(MPIError) -> MethodState {
    let header = JSONValue.object([
      "fields": .object(state.fields), "names": .array(state.tensors.map { .string($0.name) }),
      "shapes": .array(state.tensors.map { .array($0.shape.map { .int($0) }) }),
    ])
    let text = try broadcast(header.text(), from: 0)
    guard let stored = try? JSONValue(parsing: Data(text.utf8)) else {
      preconditionFailure("a method's state cannot be read back: \(text.prefix(80))")
    }
    var result = MethodState()
    result.fields = stored["fields"]?.object ?? [:]
    let names = (stored["names"]?.array ?? []).compactMap(\.string)
    let shapes = (stored["shapes"]?.array ?? []).map { $0.array?.compactMap(\.int) ?? [] }
    for (index, (name, shape)) in zip(names, shapes).enumerated() {
      var values =
        rank == 0
        ? state.tensors[index].values : [Float](repeating: 0, count: shape.reduce(1, *))
      try broadcast(&values, from: 0)
      result.tensors.append(NamedTensor(name: name, shape: shape, values: values))
    }
    return result
  }
}
