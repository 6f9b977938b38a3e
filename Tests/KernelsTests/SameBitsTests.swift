import CKernelProbe
import CKernels
import Kernels
import Testing

/// What the kernels of a table make of inputs that are the same everywhere: a hash a case.
private final class ProbeResults {
  private(set) var hashes: [(name: String, hash: UInt64)] = []

  init(_ kernels: UnsafePointer<ck_kernels>) { kernel_probe(kernels, Self.take, context) }

  /// Of the kernels that multiply bf16 numbers as such.
  init(
    products: UnsafePointer<ck_product_kernels>, attention: UnsafePointer<ck_attention_kernels>
  ) {
    kernel_probe_bf16(products, attention, Self.take, context)
  }

  private var context: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  private static let take: kernel_probe_report = { context, name, hash in
    guard let context else { return }
    Unmanaged<ProbeResults>.fromOpaque(context).takeUnretainedValue().hashes
      .append((String(cString: name), hash))
  }
}

/// A set of kernels: one of the program's, or `wide`, the text of AVX-512's in other instructions.
private struct KernelSet: CustomTestStringConvertible, Sendable {
  let name: String

  var testDescription: String { name }

  var kernels: UnsafePointer<ck_kernels>? {
    name == "wide" ? kernel_probe_wide() : ck_kernels_named(name)
  }

  /// All that this processor runs, besides the scalar reference.
  static let others = (InstructionSet.allCases.map(\.rawValue) + ["wide"])
    .map(KernelSet.init(name:)).filter { $0.name != "scalar" && $0.kernels != nil }
}

@Suite("Every kernel gives the same bits on every instruction set") struct SameBitsTests {
  @Test("In f32, and in bf16 where it is emulated", arguments: KernelSet.others)
  private func sameBits(set: KernelSet) throws {
    let scalar = ProbeResults(try #require(ck_kernels_named("scalar"))).hashes
    let results = ProbeResults(try #require(set.kernels)).hashes
    try #require(results.map(\.name) == scalar.map(\.name))
    #expect(scalar.count > 30)
    for (result, expected) in zip(results, scalar) {
      #expect(result.hash == expected.hash, "\(result.name)")
    }
  }

  /// Where there is none of these processors, `scripts/same-bits.sh` does the same under qemu.
  @Test(
    "bf16 by Arm's instructions, in blocks and in lanes, is what their definition says",
    .enabled(if: InstructionSet.best == .neon && Compute.hasNativeBFloat16))
  func armDefinition() {
    let kernels = ck_kernels_best()
    let expected = ProbeResults(
      products: kernel_probe_dot_products(), attention: kernel_probe_dot_attention()
    ).hashes
    let results = ProbeResults(
      products: ck_products(kernels), attention: ck_bf16_attention(kernels)
    ).hashes
    #expect(results.map(\.name) == expected.map(\.name) && expected.count > 10)
    for (result, expected) in zip(results, expected) {
      #expect(result.hash == expected.hash, "\(result.name)")
    }
  }

  @Test("The sets that were tested are named, and scalar is among them")
  func tested() {
    let sets = InstructionSet.available.map(\.rawValue)
    let missing = InstructionSet.allCases.map(\.rawValue).filter { !sets.contains($0) }
    print(
      "instruction sets tested: \(sets.joined(separator: ", "));",
      "not on this processor: \(missing.isEmpty ? "none" : missing.joined(separator: ", "));",
      "bf16 \(Compute.hasNativeBFloat16 ? "native and emulated" : "emulated")")
    #expect(sets.contains("scalar"))
  }
}
