import CHDF5

/// How the elements of a new dataset are laid out in its file.
package enum HDF5Layout: Sendable, Hashable {
  /// One piece of fixed size, without checksums: for data that carries its own digest.
  case contiguous
  /// Chunks of `rows` rows, each with a Fletcher-32 checksum; the dataset can grow.
  case checksummed(rows: Int)
  /// The same, bytes shuffled and deflated (zlib, level 1 to 9) under the checksum.
  case deflated(rows: Int, level: Int)
}

extension HDF5Group {
  /// Creates a dataset, and the groups that `a/b` needs on the way.
  ///
  /// It keeps no times, so that the same content written again is the same file. The corresponding C
  /// functions are `H5Dcreate2`, `H5Pset_obj_track_times`, `H5Pset_chunk`, `H5Pset_shuffle`,
  /// `H5Pset_deflate` and `H5Pset_fletcher32`.
  ///
  /// - Parameters:
  ///   - name: relative to this group.
  ///   - type: type of an element.
  ///   - shape: dimensions, outermost first; empty for a scalar.
  ///   - layout: contiguous, or in chunks, with filters or without.
  package func createDataset<Element: HDF5Element>(
    _ name: String, of type: Element.Type, shape: [Int], layout: HDF5Layout = .contiguous
  ) throws(HDF5Error) -> HDF5Dataset {
    let place = location.member(name)
    let properties = try Self.timeless(place) {
      H5Pcreate(chdf5_dataset_create_class())
    }
    var maximum = shape.map { hsize_t($0) }
    switch layout {
    case .contiguous: break
    case .checksummed(let rows), .deflated(let rows, _):
      precondition(!shape.isEmpty && rows > 0, "chunks of \(rows) rows for \(place)")
      maximum[0] = chdf5_unlimited()
      var chunk = shape.map { hsize_t(max(1, $0)) }
      chunk[0] = hsize_t(rows)
      let rank = CInt(chunk.count)
      _ = try HDF5Call.check("H5Pset_chunk", place) {
        unsafe H5Pset_chunk(properties.id, rank, &chunk)
      }
    }
    if case .deflated(_, let level) = layout {
      _ = try HDF5Call.check("H5Pset_shuffle", place) { H5Pset_shuffle(properties.id) }
      _ = try HDF5Call.check("H5Pset_deflate", place) {
        H5Pset_deflate(properties.id, CUnsignedInt(level))
      }
    }
    if layout != .contiguous {
      // Last in the pipeline, so that the checksum is of the bytes that lie in the file.
      _ = try HDF5Call.check("H5Pset_fletcher32", place) { H5Pset_fletcher32(properties.id) }
    }
    let extent = shape.map { hsize_t($0) }
    let space = try HDF5Handle("H5Screate_simple", place) {
      shape.isEmpty
        ? H5Screate(H5S_SCALAR)
        : unsafe H5Screate_simple(CInt(shape.count), extent, maximum)
    }
    let links = try intermediateGroups(place)
    return try HDF5Dataset(
      opened: try HDF5Handle("H5Dcreate2", place) {
        unsafe H5Dcreate2(
          handle.id, name, Element.memoryType, space.id, links.id, properties.id, chdf5_default())
      }, file: file, location: place)
  }
}
