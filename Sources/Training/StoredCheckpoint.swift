import Checkpointing
import Foundation
import JSON
import PEFT
import Tensors

/// A checkpoint file read as a run's state: names, configuration and tensors.
public struct StoredCheckpoint {
  /// The file, opened and verified.
  public let reader: CheckpointReader
  /// The configuration of the run that wrote it.
  public let configuration: JSONValue

  /// Opens and verifies a file.
  ///
  /// - Throws: `CheckpointError`.
  public init(path: String) throws(CheckpointError) {
    try self.init(CheckpointReader(path: path))
  }

  /// Takes an opened file.
  public init(_ reader: CheckpointReader) {
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
    try reader.restore(.adapter, into: StoredCheckpoint.values(arena))
    try reader.restore(.firstMoments, into: optimizer.slots.map { optimizer.stored($0, \.first) })
    try reader.restore(
      .secondMoments, into: optimizer.slots.map { optimizer.stored($0, \.second) })
    var state = MethodState()
    state.tensors = try tensors(in: .method)
    if case .text(let text) = reader.methodAttributes["fields"],
      let fields = try? JSONValue(parsing: Data(text.utf8))
    {
      state.fields = fields.object ?? [:]
    }
    try method.restore(state)
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
