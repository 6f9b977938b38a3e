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
}
