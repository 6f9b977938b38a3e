import JSON
import Kernels
import Model
import Tensors

/// Rows of the token table, of the head, or of both that train by themselves:
/// `trainable_token_indices`, for tokens that the base has never seen.
///
/// A list of ids stands for the token table, an object names the modules:
/// `{"embed_tokens": [5, 6], "lm_head": [5]}`. The rows start as they are and stand in the place of the
/// base's. As in PEFT, the rows of a table that a tied head shares count for the head too, unless the
/// head is given other ids. Parameters: ids times hidden size.
struct TrainedTokens {
  /// The field's name.
  static let field = "trainable_token_indices"

  private let given: JSONValue
  private let modules: [(name: String?, ids: [Int])]
  private let source: String
  private var sites: [Site] = []

  /// Rows that train.
  private struct Site {
    let slot: ParameterSlot
    let ids: [Int]
    /// The tensor that they are rows of.
    let parameter: Parameter
    let isTable: Bool
    let isHead: Bool
  }

  /// Reads the field.
  init(_ options: MethodOptions) throws(PEFTError) {
    source = options.source
    let value = try options.checked(Self.field) ?? .null
    given = value.isEmpty ? .null : value
    var modules: [(name: String?, ids: [Int])] = []
    if let members = value.object {
      for (name, list) in members.sorted(by: { $0.key < $1.key }) {
        modules.append((name, (list.array ?? [list]).compactMap(\.int)))
      }
    } else if !value.isEmpty {
      modules.append((nil, (value.array ?? [value]).compactMap(\.int)))
    }
    self.modules = modules
  }

  /// Whether any rows are asked for.
  var isUsed: Bool { !modules.isEmpty }
  /// The field as it was given.
  var json: JSONValue { given }

  /// Declares the rows.
  ///
  /// - Parameters:
  ///   - adapted: paths of adapted modules, whose rows cannot train besides.
  ///   - saved: whether `modules_to_save` trains the module of a path whole.
  ///   - ensuresTying: whether other ids for a tied head are refused.
  mutating func declare(
    in plan: inout ParameterArenaPlan, decoder: Decoder, adapted: Set<String>,
    saved: (_ path: String) -> Bool, ensuresTying: Bool
  ) throws(PEFTError) {
    guard isUsed else { return }
    let (tablePath, headPath) = (decoder.tablePath, decoder.head.path)
    var ids: [String: [Int]] = [:]
    for module in modules {
      var path = tablePath
      if let name = module.name { path = try Self.path(name, decoder, source) }
      try check(module.ids, path, decoder)
      ids[path] = module.ids
    }
    let isTied = decoder.configuration.tiesEmbeddings
    let areApart = isTied && ids[headPath] != nil && ids[headPath] != ids[tablePath]
    if areApart && ensuresTying && ids[tablePath] != nil {
      throw .inconsistentFields(
        "ensure_weight_tying is set and \(Self.field) gives \(tablePath) and \(headPath), which are "
          + "tied, different ids", source: source)
    }
    let sharesHead = isTied && ids[tablePath] != nil && !areApart
    for (path, list) in ids.sorted(by: { $0.key < $1.key }) where path != headPath || !sharesHead {
      let isTable = path == tablePath
      let isHead = path == headPath || (isTable && sharesHead)
      for module in (isTable ? [tablePath] : []) + (isHead ? [headPath] : [])
      where adapted.contains(module) || saved(module) {
        throw .inconsistentFields(
          "\(Self.field) trains rows of \(module), which is in target_modules or modules_to_save "
            + "as well", source: source)
      }
      sites.append(
        Site(
          slot: plan.declare(
            "\(huggingFacePrefix)\(path).token_adapter.trainable_tokens_delta",
            shape: [list.count, decoder.configuration.hiddenSize]),
          ids: list, parameter: isTable ? decoder.table : decoder.head.weight, isTable: isTable,
          isHead: isHead))
    }
  }

  /// The module of a name: as in PEFT the one whose path ends so.
  private static func path(
    _ name: String, _ decoder: Decoder, _ source: String
  ) throws(PEFTError) -> String {
    let places = [decoder.tablePath, decoder.head.path]
    let found = places.filter { $0.hasSuffix(name) }
    let others = decoder.parameters.map { modulePath($0.name) }
      .first { $0.hasSuffix(name) && !places.contains($0) }
    guard found.count == 1, others == nil else {
      throw .unsupportedField(
        name: field, value: name,
        expected: "ids of tokens, or lists of them by module: "
          + places.map { lastComponent($0) }.joined(separator: ", "), source: source)
    }
    return found[0]
  }

  private func check(_ ids: [Int], _ path: String, _ decoder: Decoder) throws(PEFTError) {
    let count = decoder.configuration.vocabularySize
    if let id = ids.first(where: { $0 < 0 || $0 >= count }) {
      throw .unsupportedField(
        name: Self.field, value: "\(id)", expected: "ids from 0 to \(count - 1)", source: source)
    }
    if ids.isEmpty || Set(ids).count < ids.count {
      throw .unsupportedField(
        name: Self.field, value: "\(ids)", expected: "at least one id of \(path), each once",
        source: source)
    }
  }

  /// Adds the hooks.
  func attach(to hooks: inout HookSet, decoder: Decoder, arena: ParameterArena) {
    for site in sites {
      let rows = TrainedMatrix(site.slot, in: arena)
      if site.isTable {
        hooks.table = TrainedTokenRows(
          rows, ids: site.ids, vocabularySize: decoder.configuration.vocabularySize)
      }
      if site.isHead {
        hooks.linear[decoder.head.path] = TrainedTokenLogits(rows, ids: site.ids)
      }
      if site.isTable && site.isHead { hooks.changesHeadAsTable = true }
    }
  }

  /// The rows start as the base's.
  func initialize(arena: ParameterArena) {
    for site in sites {
      let ids = IndexBuffer(site.ids)
      withExtendedLifetime(ids) {
        Embedding.forward(
          ids.all, table: site.parameter.matrix, into: arena.values(site.slot),
          on: Compute(threads: 1))
      }
    }
  }

  /// Puts the rows in the place of the base's; returns whether there are any in this tensor.
  func merge(
    into values: MatrixView, of name: String, decoder: Decoder, arena: ParameterArena
  ) -> Bool {
    let path = modulePath(name)
    let found = sites.filter {
      ($0.isTable && path == decoder.tablePath) || ($0.isHead && path == decoder.head.path)
    }
    for site in found {
      let ids = IndexBuffer(site.ids)
      withExtendedLifetime(ids) {
        Elementwise.scatterRows(
          arena.values(site.slot), rows: ids.all, into: values, on: Compute(threads: 1))
      }
    }
    return !found.isEmpty
  }
}
