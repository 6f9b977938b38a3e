/// A place in a workspace that was reserved before the workspace was allocated.
public struct WorkspaceSlot: Sendable, Hashable {
  /// First float.
  public let offset: Int
  /// Reserved rows.
  public let rows: Int
  /// Columns.
  public let columns: Int
  /// Floats from one row's start to the next's.
  public let rowStride: Int
}

/// Adds up what a step needs, so that it is allocated once and shown to the user beforehand.
public struct WorkspacePlan {
  /// One reservation, for reports.
  public struct Entry: Sendable {
    /// What it is for, for example `block.saved`.
    public let name: String
    /// Its size.
    public let byteCount: Int
  }

  /// Floats reserved so far.
  public private(set) var count = 0
  /// What was reserved, in order.
  public private(set) var entries: [Entry] = []

  /// A plan without reservations.
  public init() {}

  /// Reserves `rows` by `columns` floats, row behind row; each reservation starts on a cache line.
  public mutating func reserve(_ name: String, rows: Int, columns: Int) -> WorkspaceSlot {
    reserve(name, rows: rows, columns: columns, rowStride: columns)
  }

  /// The same for operands of products, with gaps between the rows: see `MatrixView.operandStride`.
  ///
  /// - Parameter headsAreRows: whether norms see each head of a row as a row, for which rows lie end to
  ///   end.
  public mutating func reserveOperand(
    _ name: String, rows: Int, columns: Int, headsAreRows: Bool = false
  ) -> WorkspaceSlot {
    reserve(
      name, rows: rows, columns: columns,
      rowStride: headsAreRows ? columns : MatrixView.operandStride(columns: columns))
  }

  private mutating func reserve(
    _ name: String, rows: Int, columns: Int, rowStride: Int
  ) -> WorkspaceSlot {
    precondition(rows >= 0 && columns >= 0, "\(name) of [\(rows), \(columns)]")
    let slot = WorkspaceSlot(offset: count, rows: rows, columns: columns, rowStride: rowStride)
    let floats = (rows * rowStride + 15) & ~15
    count += floats
    entries.append(Entry(name: name, byteCount: floats * 4))
    return slot
  }

  /// Bytes reserved so far.
  public var byteCount: Int { count * 4 }

  /// Lets `alternatives` sets of reservations share the same memory: each starts where the first
  /// does, and the plan grows by the largest.
  public mutating func overlay(
    alternatives: Int, _ reserve: (_ plan: inout WorkspacePlan, _ alternative: Int) -> Void
  ) {
    let start = count
    var end = count
    for alternative in 0..<alternatives {
      count = start
      reserve(&self, alternative)
      end = max(end, count)
    }
    count = end
  }
}

/// The memory of a step: everything that a `WorkspacePlan` reserved, in one allocation.
///
/// It hands out views by slot. Which slots must survive until backward and which are dead after a
/// call is the business of whoever reserved them.
public final class Workspace {
  private var buffer: FloatBuffer

  /// Allocates what `plan` reserved.
  ///
  /// - Parameters:
  ///   - plan: what its views will need.
  ///   - isPlanned: whether only its size is wanted: its views have no memory then.
  public init(_ plan: WorkspacePlan, isPlanned: Bool = false) {
    buffer = FloatBuffer(count: plan.count, isPlanned: isPlanned)
  }

  /// Whether it has no memory.
  public var isPlanned: Bool { buffer.isPlanned }

  /// Serves another plan from now on, all zero; slots and views of the former one are void.
  ///
  /// Memory that is large enough is used again. Where it is not it goes first, so that both are never
  /// there at a time.
  public func renew(_ plan: WorkspacePlan) {
    guard plan.count > buffer.count else {
      return buffer.view(rows: 1, columns: plan.count).fill(0)
    }
    buffer = FloatBuffer(count: 0)
    buffer = FloatBuffer(count: plan.count)
  }

  /// Bytes held.
  public var byteCount: Int { buffer.count * 4 }

  /// The first `rows` rows of a slot (all of them when not given).
  public func view(_ slot: WorkspaceSlot, rows: Int? = nil) -> MatrixView {
    let rows = rows ?? slot.rows
    precondition(rows <= slot.rows, "\(rows) rows of a slot of \(slot.rows)")
    return buffer.view(
      offset: slot.offset, rows: rows, columns: slot.columns, rowStride: slot.rowStride)
  }

  /// A slot's floats in another shape, row behind row, that fits into it.
  public func view(_ slot: WorkspaceSlot, rows: Int, columns: Int) -> MatrixView {
    precondition(
      rows * columns <= slot.rows * slot.columns,
      "[\(rows), \(columns)] in a slot of [\(slot.rows), \(slot.columns)]")
    return buffer.view(offset: slot.offset, rows: rows, columns: columns)
  }
}
