import JSON
import Tensors

/// A matrix that bitsandbytes quantised, with what it saved beside: NF4 and FP4, nested or not, and
/// LLM.int8.
///
/// | tensor | what it is |
/// |---|---|
/// | `X.weight` | codes of 4 bits, flattened, in whatever type FSDP wanted them; or bytes [out, in] |
/// | `X.weight.absmax` | scales of blocks: F32, or U8 where nested |
/// | `X.weight.quant_map` | the number of each code, F32 [16] |
/// | `X.weight.nested_absmax`, `X.weight.nested_quant_map` | scales of scales, and their table, F32 |
/// | `X.weight.quant_state.bitsandbytes__nf4` (`__fp4`) | JSON: shape, block size, type |
/// | `X.SCB`, `X.weight_format` | of LLM.int8: scales of rows, F32 [out]; the layout |
///
/// (bitsandbytes' functional.py, nn/modules.py.)
package struct BitsAndBytesTensor: Sendable {
  /// `X.weight`.
  package let weight: SafetensorsTensor
  /// `NF4`, `FP4` or `LLM.int8`.
  package let formatName: String
  /// `[out, in]`.
  package let shape: [Int]
  /// What lies apart: scales and tables.
  package let companions: [SafetensorsTensor]
  private let codes: StoredCodes

  /// Endings of what is saved beside a weight of 4 bits, and of LLM.int8 beside a module.
  static let weightEndings = [
    ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map",
    ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4",
  ]
  static let moduleEndings = [".SCB", ".weight_format"]

  /// The quantised matrix of a name; nil where that tensor is stored as numbers.
  ///
  /// - Throws: what is wrong with what lies beside it.
  package init?(_ name: String, in files: WeightFiles) throws(SafetensorsError) {
    let stem = name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : name
    if let kind = ["nf4", "fp4"].first(where: {
      files.contains("\(name).quant_state.bitsandbytes__\($0)")
    }) {
      try self.init(codes: kind, name, files)
    } else if files.contains(stem + ".SCB") {
      try self.init(bytes: name, stem, files)
    } else {
      return nil
    }
  }

  /// Whether a tensor belongs to a quantised one.
  package static func isCompanion(_ name: String, in files: WeightFiles) -> Bool {
    for ending in weightEndings where name.hasSuffix(ending) {
      return files.contains(String(name.dropLast(ending.count)))
    }
    return moduleEndings.contains { ending in
      name.hasSuffix(ending) && files.contains(String(name.dropLast(ending.count)) + ".weight")
    }
  }

  // MARK: Four bits

  private init(codes kind: String, _ name: String, _ files: WeightFiles) throws(SafetensorsError) {
    let stateName = "\(name).quant_state.bitsandbytes__\(kind)"
    let state = try files.tensor(named: stateName)
    func wrong(_ what: String, _ tensor: String? = nil) -> SafetensorsError {
      .badQuantization(path: state.path, tensor: tensor ?? stateName, problem: what)
    }
    let node: JSONNode
    // The slice is read at once.
    do { node = try JSONNode(parsing: unsafe Array(state.bytes)) } catch {
      throw wrong("it is not JSON: \(error)")
    }
    func count(_ key: String, most: Int) throws(SafetensorsError) -> Int {
      guard let value = node[key]?.integer, value > 0, value <= most else {
        throw wrong("\(key) is no number from 1 to \(most)")
      }
      return value
    }
    guard let list = node["shape"]?.array?.map({ $0.integer ?? 0 }), list.count == 2,
      list.allSatisfy({ $0 > 0 && $0 <= 1 << 28 })
    else { throw wrong("shape is not two numbers") }
    let elements = list[0] * list[1]
    let blockSize = try count("blocksize", most: 1 << 16)
    let types: [String: ElementType] = [
      "float32": .float32, "float16": .float16, "bfloat16": .bfloat16,
    ]
    guard let rounding = node["dtype"]?.string.flatMap({ types[$0] }) else {
      throw wrong("dtype is none of float32, float16, bfloat16")
    }
    weight = try files.tensor(named: name)
    guard weight.byteCount >= (elements + 1) / 2, weight.byteCount < (elements + 1) / 2 + 8 else {
      throw wrong("\(weight.byteCount) bytes for \(elements) codes of 4 bits", name)
    }
    let blocks = (elements + blockSize - 1) / blockSize
    let absmax = try files.tensor(named: name + ".absmax")
    let map = try files.tensor(named: name + ".quant_map")
    func floats(_ tensor: SafetensorsTensor, _ count: Int) throws(SafetensorsError) {
      guard tensor.storedType == .f32, tensor.elementCount == count else {
        throw wrong(
          "\(tensor.storedType.rawValue) \(tensor.shape); expected F32 [\(count)]", tensor.name)
      }
    }
    try floats(map, 16)
    var companions = [state, absmax, map]
    let scales: StoredCodes.Scales
    if node["nested_blocksize"] == nil {
      try floats(absmax, blocks)
      scales = unsafe .plain(absmax.start)
    } else {
      let nestedSize = try count("nested_blocksize", most: 1 << 16)
      guard absmax.storedType == .u8, absmax.elementCount == blocks else {
        throw wrong(
          "\(absmax.storedType.rawValue) \(absmax.shape); expected U8 [\(blocks)]", absmax.name)
      }
      guard let offset = node["nested_offset"]?.double else {
        throw wrong("nested_offset is no number")
      }
      let nestedScales = try files.tensor(named: name + ".nested_absmax")
      let nestedMap = try files.tensor(named: name + ".nested_quant_map")
      try floats(nestedScales, (blocks + nestedSize - 1) / nestedSize)
      try floats(nestedMap, 256)
      companions += [nestedScales, nestedMap]
      scales = unsafe .nested(
        codes: absmax.start, map: try nestedMap.floats(), scales: nestedScales.start,
        blockSize: nestedSize, offset: Float(offset))
    }
    formatName = kind.uppercased()
    shape = list
    self.companions = companions
    codes = StoredCodes(
      name: formatName, map: try map.floats(), blockSize: blockSize, scales: scales,
      columns: list[1], rounding: rounding)
  }

  // MARK: Bytes

  private init(bytes name: String, _ stem: String, _ files: WeightFiles) throws(SafetensorsError) {
    weight = try files.tensor(named: name)
    let scales = try files.tensor(named: stem + ".SCB")
    let (path, stored) = (weight.path, weight)
    func wrong(_ what: String, _ tensor: String) -> SafetensorsError {
      .badQuantization(path: path, tensor: tensor, problem: what)
    }
    guard stored.storedType == .i8, stored.shape.count == 2 else {
      throw wrong("\(stored.storedType.rawValue) \(stored.shape); expected I8 [out, in]", name)
    }
    guard scales.storedType == .f32, scales.elementCount == stored.shape[0] else {
      throw wrong(
        "\(scales.storedType.rawValue) \(scales.shape); expected F32 [\(stored.shape[0])]",
        scales.name)
    }
    if files.contains(stem + ".weight_format") {
      let format = try files.tensor(named: stem + ".weight_format")
      // The slice is read at once.
      guard unsafe Array(format.bytes).allSatisfy({ $0 == 0 }) else {
        throw wrong("only the layout 0 (row-major) is read", format.name)
      }
    }
    formatName = "LLM.int8"
    shape = stored.shape
    companions = [scales]
    codes = unsafe StoredCodes(rowScales: scales.start, columns: stored.shape[1])
  }

  /// The matrix `[out, in]` in place; whoever uses it keeps this.
  package var matrix: WeightMatrix {
    unsafe WeightMatrix(
      storage: weight.start, codes: codes, inputSize: shape[1], outputSize: shape[0])
  }
}
