import JSON
import PEFT
import TestSupport
import Testing

/// AdaLoRA's schedule, masks, files and regulariser.
@Suite("AdaLoRA")
struct AdaLoRATests {
  static let cases = GoldenCase.names("adalora-")

  @Test("Budgets, kept triplets and the final file are PEFT's", arguments: cases)
  func trace(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden)
    let trace = try #require(golden.description["trace"]?.array)
    #expect(trace.count == golden.losses.count)
    let modules = run.arena.slots.filter { $0.name.hasSuffix("lora_E") }.count
    var maskedSteps = 0
    for row in trace {
      let step = try #require(row["step"]?.int)
      _ = run.gradients(step: step)
      run.update(step: step)
      let budget = try #require(row["budget"]?.int)
      #expect(run.method.figures["rank_budget"]?.int == budget, "step \(step)")
      guard try #require(row["masked"]) == .bool(true) else { continue }
      maskedSteps += 1
      let kept = try #require(row["kept"]?.object)
      #expect(kept.count == modules)
      for (key, kept) in kept {
        let e = run.arena.values(try #require(run.arena.slot(named: "base_model.model." + key)))
        let found = e.elements.map { JSONValue.bool($0 != 0) }
        #expect(.array(found) == kept, "step \(step): \(key)")
      }
    }
    #expect(maskedSteps > 0)
    let (options, tensors) = try AdaptedBase.adapter(golden, "final-adapter")
    let export = try #require(run.method.export(baseName: "base"))
    #expect(export.configuration["rank_pattern"]?.says(options["rank_pattern"] ?? .null) == true)
    let shapes = Dictionary(uniqueKeysWithValues: export.tensors.map { ($0.name, $0.shape) })
    let own = tensors.filter { !$0.name.hasSuffix(".base_layer.weight") }
    #expect(shapes == Dictionary(uniqueKeysWithValues: own.map { ($0.name, $0.shape) }))
  }

  @Test(
    "A pruned file of PEFT gives the trained model's loss and is written the same",
    arguments: cases)
  func prunedFile(_ name: String) throws {
    let golden = try GoldenCase(name)
    let run = try GoldenRun(golden, adapterFolder: "final-adapter")
    let loss = run.loss()
    #expect(abs(loss - golden.finalLoss) <= 1e-5 * golden.finalLoss)
    let pruned = try AdaptedBase(golden, folder: "final-adapter")
    let slots = pruned.arena.slots.filter { $0.name.hasSuffix("lora_E") }
    #expect(!slots.isEmpty)
    for slot in slots {
      let values = pruned.arena.valueElements(slot)
      let pattern = try AdaptedBase.adapter(golden, "final-adapter").options["rank_pattern"]
      let key = String(slot.name.dropFirst("base_model.model.".count))
      let kept = (pattern?[key]?.array ?? []).compactMap(\.bool)
      #expect(kept.count == values.count)
      for (value, isKept) in zip(values, kept) where !isKept { #expect(value == 0) }
    }
  }

  @Test("The budget shrinks by the cube: 24 to 12 over 12 steps")
  func budgets() throws {
    let expected = [24, 24, 19, 16, 14, 12, 12, 12, 12, 12, 12, 12]
    let run = try GoldenRun(GoldenCase("adalora-llama"))
    let found = (1...12).map { step -> Int in
      _ = run.gradients(step: step)
      run.update(step: step)
      return run.method.figures["rank_budget"]?.int ?? 0
    }
    #expect(found == expected)
  }

  @Test("The regulariser's gradient matches central differences")
  func orthogonality() throws {
    let adapted = try AdaptedBase(
      "adalora", on: "llama",
      ["init_r": 4, "target_r": 2, "orth_reg_weight": 0.3, "init_lora_weights": false])
    adapted.arena.clearGradients()
    adapted.method.didReduceGradients(adapted.context(1))
    let matrices = adapted.arena.slots.filter { !$0.name.hasSuffix("lora_E") }
    let weight = 0.3 / Double(matrices.count)
    for slot in matrices {
      let isRows = slot.name.hasSuffix("lora_A")
      let values = adapted.arena.valueElements(slot).map(Double.init)
      let expected = numericalGradient(at: values) { point in
        weight * distance(point, rows: slot.rows, columns: slot.columns, isRows: isRows)
      }
      let found = adapted.arena.gradientElements(slot).map(Double.init)
      #expect(relativeError(found, expected) < 1e-5, "\(slot.name)")
    }
  }

  /// ‖A Aᵀ − I‖ of the rows, or ‖Bᵀ B − I‖ of the columns.
  private func distance(_ x: [Double], rows: Int, columns: Int, isRows: Bool) -> Double {
    let (count, length) = isRows ? (rows, columns) : (columns, rows)
    func element(_ i: Int, _ j: Int) -> Double { isRows ? x[i * columns + j] : x[j * columns + i] }
    var sum = 0.0
    for i in 0..<count {
      for k in 0..<count {
        var dot = i == k ? -1.0 : 0.0
        for j in 0..<length { dot += element(i, j) * element(k, j) }
        sum += dot * dot
      }
    }
    return sum.squareRoot()
  }

  @Test("A schedule that does not fit the run is refused, one that outlasts it is announced")
  func schedules() throws {
    let adapted = try AdaptedBase("adalora", on: "llama", ["tinit": 5, "tfinal": 5])
    #expect(throws: PEFTError.self) { _ = try adapted.method.prepareRun(totalSteps: 10) }
    #expect(try adapted.method.prepareRun(totalSteps: 11).isEmpty)
    let longer = try AdaptedBase("adalora", on: "llama", ["total_step": 100])
    #expect(try longer.method.prepareRun(totalSteps: 50).count == 1)
  }
}
