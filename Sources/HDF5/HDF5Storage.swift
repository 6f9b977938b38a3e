import CHDF5

/// Where the data of a dataset are, when they are not where they belong: in its file.
public enum HDF5Storage: Sendable, Hashable, CustomStringConvertible {
  /// A view of datasets of other files (`h5py.VirtualLayout`).
  case virtual
  /// Bytes of other files (`external=` of h5py), the first of which is named.
  case external(file: String)
  /// Never written, so that what is read is a fill value.
  case unwritten
  /// The same for some of the chunks.
  case unwrittenChunks(missing: Int, of: Int)
  /// A dataset without a place for data (`h5py.Empty`).
  case null

  /// What the dataset is or has, behind its name.
  public var description: String {
    switch self {
    case .virtual: "is virtual: its data are in other files, which are not read"
    case .external(let file):
      "has its data in another file ('\(file)'), which is not read"
    case .unwritten: "was created and never written: it has no data, only a fill value"
    case .unwrittenChunks(let missing, let count):
      "was not written in full: \(missing) of its \(count) chunks have no data, only a fill value"
    case .null: "is empty: it has a type and no room for data"
    }
  }

  /// Throws `foreignStorage` unless all data of an open dataset are in its own file, and
  /// `wrongStoredSize` where they take other room than its elements.
  ///
  /// It looks at the dataset's properties before its extent, since asking a virtual one for that
  /// opens the files it is a view of. The corresponding C functions are `H5Pget_layout`,
  /// `H5Pget_external`, `H5Dget_storage_size`, `H5Dget_num_chunks` and `H5Dget_chunk_info_by_coord`.
  static func requireOwn(
    _ dataset: hid_t, fileBytes: Int, at location: HDF5Location
  ) throws(HDF5Error) {
    let properties = try properties(dataset, at: location)
    let layout = try HDF5Call.check("H5Pget_layout", location) {
      H5Pget_layout(properties.id).rawValue
    }
    if layout == H5D_VIRTUAL.rawValue { throw .foreignStorage(location, .virtual) }
    let files = try HDF5Call.check("H5Pget_external_count", location) {
      H5Pget_external_count(properties.id)
    }
    if files > 0 {
      throw .foreignStorage(location, .external(file: try externalFile(properties.id, location)))
    }
    let space = try HDF5Handle("H5Dget_space", location) { H5Dget_space(dataset) }
    let kind = try HDF5Call.check("H5Sget_simple_extent_type", location) {
      H5Sget_simple_extent_type(space.id).rawValue
    }
    if kind == H5S_NULL.rawValue { throw .foreignStorage(location, .null) }
    let elements = try HDF5Call.check("H5Sget_simple_extent_npoints", location) {
      H5Sget_simple_extent_npoints(space.id)
    }
    guard elements > 0 else { return }
    if layout == H5D_CHUNKED.rawValue {
      return try requireChunks(
        dataset, properties.id, space.id, fileBytes: fileBytes, at: location)
    }
    let stored = H5Dget_storage_size(dataset)
    if stored == 0 { throw .foreignStorage(location, .unwritten) }
    let (needed, overflow) = UInt64(elements).multipliedReportingOverflow(
      by: UInt64(try elementBytes(dataset, at: location)))
    // The library copies what elements take out of what is there.
    guard !overflow && needed <= stored else {
      throw .wrongStoredSize(
        location, isChunk: false, bytes: Int(clamping: stored),
        expected: overflow ? .max : Int(clamping: needed))
    }
  }

  private static func requireChunks(
    _ dataset: hid_t, _ properties: hid_t, _ space: hid_t, fileBytes: Int,
    at location: HDF5Location
  ) throws(HDF5Error) {
    let rank = try HDF5Call.check("H5Sget_simple_extent_ndims", location) {
      H5Sget_simple_extent_ndims(space)
    }
    var extent = [hsize_t](repeating: 0, count: Int(rank))
    var chunk = extent
    _ = try HDF5Call.check("H5Sget_simple_extent_dims", location) {
      unsafe H5Sget_simple_extent_dims(space, &extent, nil)
    }
    _ = try HDF5Call.check("H5Pget_chunk", location) {
      unsafe H5Pget_chunk(properties, rank, &chunk)
    }
    // A damaged file may state any extent: what cannot be counted is missing too.
    var needed = 1
    for (size, part) in zip(extent, chunk) {
      let count = part == 0 ? .max : size / part + (size % part == 0 ? 0 : 1)
      let (product, overflow) = needed.multipliedReportingOverflow(by: Int(clamping: count))
      needed = overflow ? .max : product
    }
    let written = try HDF5Call.check("H5Dget_num_chunks", location) {
      chdf5_written_chunks(dataset)
    }
    guard written < needed else {
      return try HDF5ChunkCheck(
        dataset, filters: try filters(properties, at: location).map(\.number),
        properties: properties,
        extent: extent, chunk: chunk, fileBytes: fileBytes, at: location
      ).run()
    }
    throw .foreignStorage(
      location,
      written == 0
        ? .unwritten : .unwrittenChunks(missing: needed - Int(written), of: needed))
  }

  /// The first filter of a dataset that the library does not have.
  ///
  /// The corresponding C functions are `H5Pget_filter2` and `H5Zfilter_avail`.
  static func missingFilter(
    _ dataset: hid_t, at location: HDF5Location
  ) throws(HDF5Error) -> (name: String, number: Int)? {
    let properties = try properties(dataset, at: location)
    for filter in try filters(properties.id, at: location) {
      let isThere = try? HDF5Call.check("H5Zfilter_avail", location) {
        H5Zfilter_avail(filter.number)
      }
      if isThere ?? 0 <= 0 { return (filter.name, Int(filter.number)) }
    }
    return nil
  }

  /// What data pass through on their way to the file, in order.
  private static func filters(
    _ properties: hid_t, at location: HDF5Location
  ) throws(HDF5Error) -> [(name: String, number: H5Z_filter_t)] {
    let count = try HDF5Call.check("H5Pget_nfilters", location) { H5Pget_nfilters(properties) }
    var filters: [(name: String, number: H5Z_filter_t)] = []
    for index in 0..<CUnsignedInt(count) {
      var flags: CUnsignedInt = 0
      var valueCount = 0
      var configuration: CUnsignedInt = 0
      var name = [CChar](repeating: 0, count: 256)
      let number = try HDF5Call.check("H5Pget_filter2", location) {
        unsafe H5Pget_filter2(
          properties, index, &flags, &valueCount, nil, name.count, &name, &configuration)
      }
      filters.append((text(name), number))
    }
    return filters
  }

  /// Bytes of an element as it is stored.
  static func elementBytes(_ dataset: hid_t, at location: HDF5Location) throws(HDF5Error) -> Int {
    let type = try HDF5Handle("H5Dget_type", location) { H5Dget_type(dataset) }
    return try HDF5DataType.byteCount(of: type.id, at: location)
  }

  private static func externalFile(
    _ properties: hid_t, _ location: HDF5Location
  ) throws(HDF5Error) -> String {
    var name = [CChar](repeating: 0, count: 4096)
    var offset = off_t()
    var size = hsize_t()
    _ = try HDF5Call.check("H5Pget_external", location) {
      // One byte less than there is, for the library ends a name of that length with no zero.
      unsafe H5Pget_external(properties, 0, name.count - 1, &name, &offset, &size)
    }
    return text(name)
  }

  private static func properties(
    _ dataset: hid_t, at location: HDF5Location
  ) throws(HDF5Error) -> HDF5Handle {
    try HDF5Handle("H5Dget_create_plist", location) { H5Dget_create_plist(dataset) }
  }

  private static func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

/// A link that is not followed.
public enum HDF5Link: Sendable, Hashable, CustomStringConvertible {
  /// What it names is not there, or lies behind a link out of the file.
  case dangling
  /// It names an object of another file.
  case external
  /// A kind of link that some program defined for itself.
  case foreign

  /// What it is.
  public var description: String {
    switch self {
    case .dangling: "a link that leads nowhere"
    case .external: "a link into another file, which is not read"
    case .foreign: "a link of a kind that HDF5 itself does not have"
    }
  }
}
