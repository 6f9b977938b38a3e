import CKernels
import Tensors

/// Products on one thread, which pack the right operand; what all larger ones are made of.
///
/// `ck_product.h` defines each element of the result as a sum in one order: in f32 it has the same
/// bits on every instruction set, and always the same however the result is cut into blocks, so
/// that blocks may be made to fit the number of threads.
struct PackedProduct {
  /// Memory that a product needs.
  static let scratchBytes = Int(ck_product_scratch_bytes)
  /// The highest rank of a term that a product adds along with the rest.
  static let highestRank = Int(ck_product_rank)

  /// A left operand in f32, row-major.
  struct Operand {
    let base: UnsafePointer<Float>
    /// Elements from one stored row to the next.
    let stride: Int
    /// Whether it is used transposed.
    var transposed = false
  }

  /// The right operand, in its stored format and at any byte address.
  struct Stored {
    /// Where it begins.
    private(set) var part: ck_stored
    /// Whether it is used transposed.
    let transposed: Bool

    init(_ part: ck_stored, transposed: Bool) {
      (self.part, self.transposed) = (part, transposed)
    }

    /// Floats whose rows are `stride` of them apart.
    init(_ base: UnsafePointer<Float>, stride: Int, transposed: Bool) {
      self.init(
        ck_stored(
          base: UnsafeRawPointer(base), row_bytes: Int64(4 * stride), type: ck_f32, row: 0,
          element: 0, head: 0, codes: nil), transposed: transposed)
    }

    /// Whether it is stored in blocks or codes, which take long to decode; not whether rows are reordered.
    var isDecoded: Bool { ![ck_f32, ck_f16, ck_bf16].contains(part.type) }

    /// The part that some columns of the product need.
    func columns(_ columns: Range<Int>) -> Stored {
      moved(row: transposed ? columns.lowerBound : 0, element: transposed ? 0 : columns.lowerBound)
    }

    /// The part from a place of the depth on.
    func depth(from start: Int) -> Stored {
      moved(row: transposed ? 0 : start, element: transposed ? start : 0)
    }

    private func moved(row: Int, element: Int) -> Stored {
      var result = self
      result.part.row += Int64(row)
      result.part.element += Int64(element)
      return result
    }
  }

  let kernels: UnsafePointer<ck_product_kernels>

  /// - Parameter set: the kernels of the processor, whose instruction set decides.
  init(_ set: UnsafePointer<ck_kernels>) { kernels = ck_products(set) }

  /// What it is, such as `packed avx2`.
  var name: String { String(cString: kernels.pointee.name) }
  /// The same of its products in f32.
  var floatName: String { String(cString: kernels.pointee.f32_name) }

  /// What columns that a thread computes by itself begin at a multiple of.
  var blockColumns: Int { Int(kernels.pointee.block_columns) }

  /// Whether operands may be bf16.
  var multipliesBFloat16: Bool { kernels.pointee.multiply_bf16 != nil }

  /// Computes `c (+)= scale · (op(a) b + term)` in f32.
  ///
  /// - Parameters:
  ///   - a: [c.rows, depth] once transposed or not.
  ///   - b: [depth, c.columns] once transposed or not.
  ///   - rounded: whether b is rounded to bf16 while it is packed.
  ///   - cTransposed: whether c is [columns, rows] instead.
  ///   - term: of rank `highestRank` at most.
  ///   - scratch: `scratchBytes` at a multiple of 64.
  func multiply(
    _ a: Operand, by b: Stored, rounded: Bool = false, depth: Int, scale: Float = 1,
    into c: MatrixView, cTransposed: Bool = false, adding: Bool, term: LowRankTerm? = nil,
    scratch: UnsafeMutableRawPointer
  ) {
    var product = arguments(
      UnsafeRawPointer(a.base), aStride: a.stride, b, depth: depth, c, cTransposed: cTransposed,
      adding: adding, term, scratch)
    product.a_transposed = a.transposed ? 1 : 0
    product.rounds_b = rounded ? 1 : 0
    product.scale = scale
    kernels.pointee.multiply(&product)
  }

  /// Computes `c (+)= a b + term` with operands in bf16 and sums in f32; where
  /// `multipliesBFloat16`.
  ///
  /// - Parameters:
  ///   - a: [c.rows, depth] of bf16; rows start at multiples of 4 bytes, and a 0 lies behind one of
  ///     odd length.
  ///   - aStride: elements from one row to the next, even.
  ///   - b: [depth, c.columns] once transposed or not; rounded where it is not bf16.
  ///   - term: in f32, of rank `highestRank` at most.
  func multiplyBFloat16(
    _ a: UnsafeRawPointer, aStride: Int, by b: Stored, depth: Int, into c: MatrixView,
    adding: Bool, term: LowRankTerm? = nil, scratch: UnsafeMutableRawPointer
  ) {
    var product = arguments(
      a, aStride: aStride, b, depth: depth, c, cTransposed: false, adding: adding, term, scratch)
    guard let multiply = kernels.pointee.multiply_bf16 else {
      preconditionFailure("no product with bf16 operands on this processor")
    }
    multiply(&product)
  }

  private func arguments(
    _ a: UnsafeRawPointer, aStride: Int, _ b: Stored, depth: Int, _ c: MatrixView,
    cTransposed: Bool, adding: Bool, _ term: LowRankTerm?, _ scratch: UnsafeMutableRawPointer
  ) -> ck_product {
    ck_product(
      a: a, a_stride: Int64(aStride), a_transposed: 0, b: b.part,
      b_transposed: b.transposed ? 1 : 0, rounds_b: 0,
      left: term.map { UnsafePointer($0.left.base) }, left_stride: Int64(term?.left.rowStride ?? 0),
      right: term.map { UnsafePointer($0.right.base) },
      right_stride: Int64(term?.right.rowStride ?? 0),
      right_transposed: term?.isTransposed ?? false ? 1 : 0, right_scale: term?.scale ?? 1,
      rank: Int64(term?.rank ?? 0), c: c.base,
      c_stride: Int64(c.rowStride), c_transposed: cTransposed ? 1 : 0,
      rows: Int64(cTransposed ? c.columns : c.rows),
      columns: Int64(cTransposed ? c.rows : c.columns),
      depth: Int64(depth), scale: 1, adding: adding ? 1 : 0, scratch: scratch)
  }
}
