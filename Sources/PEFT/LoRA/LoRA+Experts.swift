import Kernels
import Model
import Tensors

/// LoRA on a tensor that transformers has in one piece for all experts (`target_parameters`).
///
///     ΔW_e = s·B_e A_e      A [E·R, in], rows of e together; B [out, R·E], column r·E + e
///
/// That is PEFT's `ParamWrapper` with its layout and names. Where gate and up are one tensor, they share
/// A, and each has its rows of B.
struct StackedSite {
  let parameter: StackedParameter
  let scaling: Double
  let rank: Int
  let a, b: ParameterSlot

  /// A part of it: a projection of one expert.
  struct Part {
    let layer: LinearLayer
    let expert: Int
    /// Its rows of B.
    let outputs: Range<Int>
  }

  /// The parts, expert after expert.
  var layers: [Part] {
    parameter.parts.enumerated().flatMap { expert, layers in
      var first = 0
      return layers.map { layer in
        defer { first += layer.outputSize }
        return Part(
          layer: layer, expert: expert, outputs: first..<(first + layer.outputSize))
      }
    }
  }

  var expertCount: Int { parameter.parts.count }

  /// A's rows of an expert.
  func rows(of expert: Int) -> Range<Int> { (expert * rank)..<((expert + 1) * rank) }
}

extension StackedSite {
  /// The stacked tensors that `target_parameters` names, by PEFT's rule: the whole name or the end of
  /// it behind a dot.
  ///
  /// - Throws: `nothingTargeted` where an entry names none.
  static func select(
    _ names: [String], in decoder: Decoder
  ) throws(PEFTError) -> [StackedParameter] {
    let all = decoder.stackedParameters
    func matches(_ path: String, _ name: String) -> Bool {
      path == name || path.hasSuffix("." + name)
    }
    for name in names where !all.contains(where: { matches($0.path, name) }) {
      throw .nothingTargeted(
        selection: "target_parameters [\"\(name)\"]",
        available: Set(
          all.map { "\(lastComponent($0.module)).\($0.name)" }
        ).sorted())
    }
    return all.filter { parameter in names.contains { matches(parameter.path, $0) } }
  }

  /// The path that PEFT saves a tensor's factors under: wrappers of one module lie in one another, and
  /// the first tensor's is the innermost.
  static func savedPath(_ parameter: StackedParameter, among all: [StackedParameter]) -> String {
    let inModule = all.filter { $0.module == parameter.module }
    let outer = inModule.count - 1 - (inModule.firstIndex { $0.name == parameter.name } ?? 0)
    return parameter.module + String(repeating: ".base_layer", count: outer)
  }
}

/// LoRA at a projection of one expert.
///
///     u = x A_eᵀ      y = base(x) + s·u B_eᵀ
///
/// A_e are rows of the arena's A; B_e is taken out of B's columns for each call, and its gradient put
/// back, through memory that all of them share: they are called one after another.
final class ExpertLoRALinear: LinearHook {
  /// B_e and its gradient.
  final class Scratch {
    let values: OwnedMatrix
    let gradient: OwnedMatrix

    /// - Parameter count: numbers of the largest B_e.
    /// - Parameter isPlanned: whether it only counts.
    init(count: Int, isPlanned: Bool) {
      values = OwnedMatrix(rows: 1, columns: count, isPlanned: isPlanned)
      gradient = OwnedMatrix(rows: 1, columns: count, isPlanned: isPlanned)
    }

    var byteCount: Int { values.byteCount + gradient.byteCount }
  }

  private let a, b: TrainedMatrix  // A_e [R, in]; the projection's rows of B [out, R·E]
  private let expert, expertCount: Int
  private let scaling: Float
  private let branch: LowRankBranch
  private let scratch: Scratch

  init(
    a: TrainedMatrix, b: TrainedMatrix, expert: Int, of expertCount: Int, scaling: Double,
    scratch: Scratch
  ) {
    (self.a, self.b) = (a, b)
    (self.expert, self.expertCount) = (expert, expertCount)
    self.scaling = Float(scaling)
    self.scratch = scratch
    branch = LowRankBranch(a, dropout: 0)
  }

  private var rank: Int { branch.rank }
  var savedColumns: Int { rank }
  var scratchColumns: Int { branch.scratchColumns }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    branch.arithmetic(of: layer, isInputGradientNeeded: isInputGradientNeeded)
  }

  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? {
    let u = pass.saved
    Product.multiply(x, by: a.values, transposed: true, into: u, on: pass.compute)
    return LowRankTerm(u, by: own(pass.compute), transposed: true, scale: scaling)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {}

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, du, compute) = (pass.saved, branch.gradient(pass), pass.compute)
    Product.multiply(dy, by: own(compute), into: du, scale: scaling, on: compute)
    let dB = view(scratch.gradient)
    Product.multiply(dy, transposed: true, by: u, into: dB, scale: scaling, on: compute)
    Elementwise.scatterColumns(
      dB, from: expert, by: expertCount, addingTo: b.gradient, on: compute)
    branch.addGradient(of: a, input: x, pass)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? { branch.inputTerm(pass) }

  /// B_e [out, R].
  private func own(_ compute: Compute) -> MatrixView {
    let values = view(scratch.values)
    Elementwise.gatherColumns(b.values, from: expert, by: expertCount, into: values, on: compute)
    return values
  }

  private func view(_ buffer: OwnedMatrix) -> MatrixView {
    buffer.view.columns(0..<(b.values.rows * rank)).reshaped(rows: b.values.rows, columns: rank)
  }
}

extension LoRA {
  /// Declares A and B of the tensors that `target_parameters` names.
  func declareStacked(
    in plan: inout ParameterArenaPlan, decoder: Decoder
  ) throws(PEFTError) -> [StackedSite] {
    let chosen = try StackedSite.select(configuration.targetParameters, in: decoder)
    var result: [StackedSite] = []
    for parameter in chosen.reversed() {
      guard let first = parameter.parts.first else { continue }
      let rank = try configuration.rank(parameter.path)
      let (inputs, outputs) = (first[0].inputSize, first.reduce(0) { $0 + $1.outputSize })
      let key = huggingFacePrefix + StackedSite.savedPath(parameter, among: chosen)
      let all = rank * parameter.parts.count
      result.append(
        StackedSite(
          parameter: parameter, scaling: try configuration.scaling(parameter.path), rank: rank,
          a: plan.declare("\(key).lora_A.weight", shape: [all, inputs]),
          b: plan.declare("\(key).lora_B.weight", shape: [outputs, all])))
    }
    return result
  }

  /// Gives each expert's projections their hooks.
  ///
  /// - Returns: the memory that they share.
  static func attach(
    _ sites: [StackedSite], to hooks: inout HookSet, arena: ParameterArena
  ) -> ExpertLoRALinear.Scratch {
    let scratch = ExpertLoRALinear.Scratch(
      count: sites.flatMap { site in site.layers.map { $0.outputs.count * site.rank } }.max() ?? 0,
      isPlanned: arena.isPlanned)
    for site in sites {
      let (a, b) = (TrainedMatrix(site.a, in: arena), TrainedMatrix(site.b, in: arena))
      for part in site.layers {
        hooks.linear[part.layer.path] = ExpertLoRALinear(
          a: a.rows(site.rows(of: part.expert)), b: b.rows(part.outputs), expert: part.expert,
          of: site.expertCount, scaling: site.scaling, scratch: scratch)
      }
    }
    return scratch
  }

  /// Draws A, and B where it does not start at zero.
  func initialize(_ site: StackedSite, _ arena: ParameterArena, seed: UInt64) {
    let (a, b) = (arena.values(site.a), arena.values(site.b))
    let bound = 1 / Double(a.columns).squareRoot()
    let randomA = CounterRandom(seed: seed, purpose: site.a.name)
    b.fill(0)
    switch configuration.initialization {
    case .gaussian: randomA.fillNormal(a, standardDeviation: 1 / Double(site.rank))
    case .random:
      randomA.fillUniform(a, low: -bound, high: bound)
      let boundB = 1 / Double(b.columns).squareRoot()
      CounterRandom(seed: seed, purpose: site.b.name)
        .fillUniform(b, low: -boundB, high: boundB)
    default: randomA.fillUniform(a, low: -bound, high: bound)
    }
  }

  /// `W_e ← W_e + s·B_e A_e`.
  static func merge(
    _ site: StackedSite, _ part: StackedSite.Part, into values: MatrixView, _ arena: ParameterArena
  ) {
    let compute = Compute(threads: 1)
    let b = OwnedMatrix(rows: part.outputs.count, columns: site.rank)
    Elementwise.gatherColumns(
      arena.values(site.b).rows(part.outputs), from: part.expert, by: site.expertCount,
      into: b.view, on: compute)
    Product.multiply(
      b.view, by: arena.values(site.a).rows(site.rows(of: part.expert)), into: values,
      scale: Float(site.scaling), adding: true, on: compute)
  }
}

extension TrainedMatrix {
  /// Some of its rows.
  fileprivate func rows(_ range: Range<Int>) -> TrainedMatrix {
    TrainedMatrix(values: values.rows(range), gradient: gradient.rows(range))
  }
}
