import Tensors
import Testing

@Suite("The workspace of a step") struct WorkspaceTests {
  @Test("Another plan uses memory again where it is large enough, and begins with zeros")
  func renewal() {
    var large = WorkspacePlan()
    let slot = large.reserve("large", rows: 8, columns: 32)
    let workspace = Workspace(large)
    workspace.view(slot).fill(3)
    let address = workspace.view(slot).base

    var small = WorkspacePlan()
    let part = small.reserve("small", rows: 2, columns: 32)
    workspace.renew(small)
    #expect(workspace.view(part).base == address)
    #expect((0..<64).allSatisfy { workspace.view(part).base[$0] == 0 })
    #expect(workspace.byteCount == large.byteCount)

    var larger = WorkspacePlan()
    let whole = larger.reserve("larger", rows: 100, columns: 32)
    workspace.renew(larger)
    #expect(workspace.byteCount == larger.byteCount)
    #expect((0..<3200).allSatisfy { workspace.view(whole).base[$0] == 0 })
  }

  @Test("Rows of operands start an odd number of cache lines apart and share no float")
  func operands() {
    for columns in [1, 16, 17, 64, 576, 2048, 49_152] {
      var plan = WorkspacePlan()
      _ = plan.reserve("before", rows: 1, columns: 3)
      let slot = plan.reserveOperand("operand", rows: 3, columns: columns)
      let after = plan.reserve("after", rows: 1, columns: 1)
      let workspace = Workspace(plan)
      let view = workspace.view(slot)
      #expect(view.rowStride >= columns && view.rowStride % 32 == 16)
      #expect(view.rowStride < columns + 32)
      #expect(Int(bitPattern: view.base) % 64 == 0)
      workspace.view(after).fill(7)
      for row in 0..<3 { view.rows(row..<(row + 1)).fill(Float(row)) }
      #expect(workspace.view(after).elements == [7])
      let expected = (0..<3).flatMap { [Float](repeating: Float($0), count: columns) }
      #expect(view.elements == expected)
    }
  }
}
