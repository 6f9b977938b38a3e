import Foundation
import Kernels
import Model
import Tensors
import TestSupport
import Testing

/// A node of one process.
private struct Alone: NodeMembers {
  let localRank = 0
  let localSize = 1
  func allocateOnNode(byteCount: Int) throws -> SharedBytes {
    try SharedBytes(byteCount: byteCount)
  }
  func barrier() {}
}

/// One of several members that all live in this process, on one piece of memory.
private struct Member: NodeMembers {
  let localRank: Int
  let localSize: Int
  let bytes: SharedBytes
  func allocateOnNode(byteCount: Int) throws -> SharedBytes {
    precondition(byteCount <= bytes.byteCount)
    return bytes
  }
  func barrier() {}
}

@Suite("Weights rounded once a node") struct RoundingTests {
  private let compute = Compute(threads: 2)

  /// Logits of few and of many rows, which different code multiplies.
  private func logits(_ decoder: Decoder) throws -> [Float] {
    try decoder.prepare(for: .inference, maximumTokens: 20, maximumSequences: 1)
    let batch = decoder.makeBatch(maximumTokens: 20, maximumSequences: 1)
    var result: [Float] = []
    for length in [3, 20] {
      batch.clear()
      batch.beginSequence()
      for token in 0..<length { batch.append(token: (7 * token + 1) % 53, isTarget: false) }
      batch.endSequence()
      let buffer = FloatBuffer(count: length * decoder.configuration.vocabularySize)
      let view = buffer.view(rows: length, columns: decoder.configuration.vocabularySize)
      let rows = IndexBuffer(Array(0..<length))
      decoder.logits(
        Pass(batch: batch, compute: compute, isTraining: false), rows: rows.all, into: view)
      withExtendedLifetime(rows) {}
      result += view.elements
    }
    return result
  }

  @Test(
    "Results are the same bits", arguments: ["llama", "llama-f16-sharded", "llama-tied", "gpt2"])
  func sameBits(model: String) throws {
    let directory = fixturePath("model/\(model)")
    let stored = try Decoder(directory: directory, arithmetic: .bfloat16)
    let rounded = try Decoder(directory: directory, arithmetic: .bfloat16)
    let byteCount = try rounded.roundFrozenWeights(among: Alone(), on: compute)
    #expect(byteCount > 0)
    #expect(try logits(stored) == logits(rounded))
    #expect(try rounded.roundFrozenWeights(among: Alone(), on: compute) == 0, "once")
  }

  @Test("Members round a share each, together the whole")
  func members() throws {
    let directory = fixturePath("model/llama")
    let alone = try Decoder(directory: directory, arithmetic: .bfloat16)
    let byteCount = try alone.roundFrozenWeights(among: Alone(), on: compute)
    // Sealing is each process's own, so each member has a mapping of its own of one file.
    let decoders = try (0..<3).map { _ in try Decoder(directory: directory, arithmetic: .bfloat16) }
    let path = try SharedBytes.makeFile(byteCount: byteCount)
    defer { SharedBytes.removeFile(path) }
    for (rank, decoder) in decoders.enumerated() {
      let mapping = try SharedBytes(file: path, byteCount: byteCount)
      try decoder.roundFrozenWeights(
        among: Member(localRank: rank, localSize: 3, bytes: mapping), on: compute)
    }
    #expect(try logits(decoders[0]) == logits(alone))
  }

  @Test("A base stored in bf16, or run in f32, needs no copy")
  func noCopy() throws {
    let stored = try Decoder(directory: fixturePath("model/llama-bf16"), arithmetic: .bfloat16)
    #expect(try stored.roundFrozenWeights(among: Alone(), on: compute) == 0)
    let exact = try Decoder(directory: fixturePath("model/llama"), arithmetic: .float32)
    #expect(try exact.roundFrozenWeights(among: Alone(), on: compute) == 0)
  }

  @Test("Too little room is told with what was tried")
  func noRoom() {
    #expect {
      try SharedBytes.makeFile(byteCount: 1 << 20, directories: ["/nowhere", "/proc/self"])
    } throws: { error in
      let text = "\(error)"
      return text.contains("/nowhere: ") && text.contains("/proc/self: ")
        && text.contains("--precision f32")
    }
  }
}
