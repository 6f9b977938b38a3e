import JSON
import Kernels
import Model
import Tensors

extension InitialFactors {
  /// What a checkpoint calls A₀ and B₀, behind `lora_A` and `lora_B`.
  static let suffix = ".initial"
}

/// Starts in the base: PiSSA (Meng, Wang and Zhang 2024, arXiv:2404.02948) and OLoRA (Büyükakyüz 2024,
/// arXiv:2406.01775).
///
///     PiSSA   W ≈ U S Vᵀ       A₀ = √(S/s) Vᵀ     B₀ = U √(S/s)       the R largest triplets
///     OLoRA   W = Q R          A₀ = R[:R]         B₀ = Q[:, :R]
///
/// and A = A₀, B = B₀, the frozen weight less by s·B₀A₀: but for rounding, training starts at the base.
/// The signs of PiSSA's triplets are arbitrary, here as in PEFT; `pissa_niter_N` draws its subspace at
/// random, as PEFT does with numbers that only it can draw.
extension LoRA {
  /// Writes A₀, B₀ and the same to A, B.
  func factor(_ site: Site, _ arena: ParameterArena, seed: UInt64) {
    guard let initial = site.initial, let layer = site.layer else { return }
    let weight = OwnedMatrix(rows: layer.outputSize, columns: layer.inputSize)
    layer.weight.matrix.copyFloats(into: weight.view)
    let factors: LeadingFactors
    switch configuration.initialization {
    case .olora:
      factors = LeadingFactors.orthogonalTriangular(of: weight.view, count: site.rank)
    case .pissa(let iterations?):
      factors = LeadingFactors.singular(
        of: weight.view, count: site.rank, iterations: iterations,
        random: CounterRandom(seed: seed, purpose: initial.a.name))
    default: factors = LeadingFactors.singular(of: weight.view, count: site.rank)
    }
    let roots = factors.values.map { ($0 / site.scaling).squareRoot() }
    let (a, b) = (arena.values(initial.a), arena.values(initial.b))
    for k in 0..<site.rank {
      let root = roots.isEmpty ? 1 : roots[k]
      for i in 0..<a.columns { a[k, i] = Float(root * factors.right[k * a.columns + i]) }
      for o in 0..<b.rows { b[o, k] = Float(root * factors.left[o * site.rank + k]) }
    }
    arena.values(site.a).copy(from: a)
    arena.values(site.b).copy(from: b)
  }

  /// The adapter's tensors; with initial factors those of a plain LoRA of rank 2R,
  /// `[B, −B₀] [A; A₀]`, for the base as it is.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) -> AdapterExport {
    AdapterExport(
      configuration: configuration,
      tensors: withTiedHead(joined(tensors), configuration: configuration), notes: notes)
  }

  /// The tensors with initial factors taken into A and B.
  static func joined(_ tensors: [NamedTensor]) -> [NamedTensor] {
    let named = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0) })
    return tensors.compactMap { tensor in
      if tensor.name.hasSuffix(InitialFactors.suffix) { return nil }
      guard tensor.name.hasSuffix(".weight"),
        let initial = named[tensor.name.dropLast(".weight".count) + InitialFactors.suffix]
      else { return tensor }
      let (rows, columns) = (tensor.shape[0], tensor.shape[1])
      let (first, second) = (tensor.values, initial.values)
      if tensor.name.hasSuffix(".lora_A.weight") {
        return NamedTensor(
          name: tensor.name, shape: [2 * rows, columns], values: first + second)
      }
      let values = (0..<rows).flatMap { row in
        let range = (row * columns)..<((row + 1) * columns)
        return first[range] + second[range].map { -$0 }
      }
      return NamedTensor(name: tensor.name, shape: [rows, 2 * columns], values: values)
    }
  }
}
