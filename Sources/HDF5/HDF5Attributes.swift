import CHDF5

/// Attributes: single values of text, whole numbers or reals, as this program and h5py write them.
extension HDF5Object {
  /// Whether there is an attribute named `name`.
  ///
  /// The corresponding C function is `H5Aexists`.
  package func hasAttribute(_ name: String) throws(HDF5Error) -> Bool {
    try HDF5Call.check("H5Aexists", location) { unsafe H5Aexists(handle.id, name) } > 0
  }

  /// The names of all attributes, sorted.
  ///
  /// The corresponding C function is `H5Aget_name_by_idx`.
  package func attributeNames() throws(HDF5Error) -> [String] {
    let count = try HDF5Call.check("H5Aget_num_attrs", location) { H5Aget_num_attrs(handle.id) }
    var names: [String] = []
    for index in 0..<hsize_t(count) {
      let length = try HDF5Call.check("H5Aget_name_by_idx", location) {
        unsafe H5Aget_name_by_idx(
          handle.id, ".", H5_INDEX_NAME, H5_ITER_INC, index, nil, 0, chdf5_default())
      }
      var bytes = [CChar](repeating: 0, count: length + 1)
      _ = try HDF5Call.check("H5Aget_name_by_idx", location) {
        unsafe H5Aget_name_by_idx(
          handle.id, ".", H5_INDEX_NAME, H5_ITER_INC, index, &bytes, bytes.count, chdf5_default())
      }
      names.append(
        String(decoding: bytes.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
    }
    return names.sorted()
  }

  /// What kind of value an attribute holds.
  package func attributeType(_ name: String) throws(HDF5Error) -> HDF5DataType {
    try openAttribute(name).type
  }

  /// The text of an attribute, of fixed or variable length.
  ///
  /// Throws `missingAttribute`, `wrongType`, `wrongCount`, `notText` or `callFailed`. The
  /// corresponding C function is `H5Aread`.
  package func text(_ name: String) throws(HDF5Error) -> String {
    let attribute = try openAttribute(name)
    guard case .text(let variableLength) = attribute.type else {
      throw .wrongType(location, attribute: name, expected: "text", found: attribute.type)
    }
    let stored = try HDF5Handle("H5Aget_type", location) { H5Aget_type(attribute.handle.id) }
    let bytes =
      try variableLength
      ? variableText(name, attribute.handle.id, type: stored.id)
      : fixedText(attribute.handle.id, type: stored.id)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .notText(location, attribute: name)
    }
    return text
  }

  /// The number in an attribute, converted from the type that is stored.
  ///
  /// Throws `missingAttribute`, `wrongType` (a real where a whole number is asked for, text),
  /// `wrongCount`, `valueOutOfRange` or `callFailed`. The corresponding C function is `H5Aread`.
  package func number<Element: HDF5Element>(
    _ name: String, as type: Element.Type = Element.self
  ) throws(HDF5Error) -> Element {
    let attribute = try openAttribute(name)
    if attribute.type.isContained(in: Element.dataType) {
      return try readNumber(attribute.handle.id)
    }
    guard case .integer(let signed, _) = attribute.type else {
      throw .wrongType(
        location, attribute: name, expected: "\(Element.dataType)", found: attribute.type)
    }
    // HDF5 would clamp a number that does not fit; read it whole and look.
    if signed {
      let value: Int64 = try readNumber(attribute.handle.id)
      if let number = Element(exactly: value) { return number }
      throw .valueOutOfRange(location, index: 0, value: "\(value)", expected: Element.dataType)
    }
    let value: UInt64 = try readNumber(attribute.handle.id)
    if let number = Element(exactly: value) { return number }
    throw .valueOutOfRange(location, index: 0, value: "\(value)", expected: Element.dataType)
  }

  /// Writes a text attribute: UTF-8 of variable length, as h5py writes a `str`.
  ///
  /// The corresponding C functions are `H5Acreate2` and `H5Awrite`.
  package func setText(_ name: String, _ text: String) throws(HDF5Error) {
    precondition(!text.utf8.contains(0), "attribute '\(name)' of \(location) with a zero byte")
    let type = try HDF5Handle("H5Tcopy", location) { H5Tcopy(chdf5_c_string()) }
    _ = try HDF5Call.check("H5Tset_size", location) {
      H5Tset_size(type.id, chdf5_variable_length())
    }
    _ = try HDF5Call.check("H5Tset_cset", location) { H5Tset_cset(type.id, H5T_CSET_UTF8) }
    let attribute = try createAttribute(name, type: type.id)
    var characters = text.utf8.map { CChar(bitPattern: $0) } + [0]
    _ = try HDF5Call.check("H5Awrite", location) {
      // Unsafe: HDF5 reads one pointer, to characters that live until the call returns.
      unsafe characters.withUnsafeMutableBufferPointer { buffer in
        var first = buffer.baseAddress
        return unsafe H5Awrite(attribute.id, type.id, &first)
      }
    }
  }

  /// Writes a number as an attribute of its own type.
  ///
  /// The corresponding C functions are `H5Acreate2` and `H5Awrite`.
  package func setNumber<Element: HDF5Element>(
    _ name: String, _ value: Element
  ) throws(HDF5Error) {
    let attribute = try createAttribute(name, type: Element.memoryType)
    var value = value
    _ = try HDF5Call.check("H5Awrite", location) {
      unsafe H5Awrite(attribute.id, Element.memoryType, &value)
    }
  }

  private struct OpenAttribute: ~Copyable {
    let handle: HDF5Handle
    let type: HDF5DataType
  }

  /// Opens an attribute that must exist and hold one value.
  private func openAttribute(_ name: String) throws(HDF5Error) -> OpenAttribute {
    guard try hasAttribute(name) else { throw .missingAttribute(location, name: name) }
    let handle = try HDF5Handle("H5Aopen", location) {
      unsafe H5Aopen(self.handle.id, name, chdf5_default())
    }
    let space = try HDF5Handle("H5Aget_space", location) { H5Aget_space(handle.id) }
    let count = try HDF5Call.check("H5Sget_simple_extent_npoints", location) {
      H5Sget_simple_extent_npoints(space.id)
    }
    guard count == 1 else {
      throw .wrongCount(location, attribute: name, found: Int(count))
    }
    let stored = try HDF5Handle("H5Aget_type", location) { H5Aget_type(handle.id) }
    let type = try HDF5DataType.classify(stored.id, at: location)
    return OpenAttribute(handle: handle, type: type)
  }

  private func createAttribute(_ name: String, type: hid_t) throws(HDF5Error) -> HDF5Handle {
    let space = try HDF5Handle("H5Screate", location) { H5Screate(H5S_SCALAR) }
    return try HDF5Handle("H5Acreate2", location) {
      unsafe H5Acreate2(handle.id, name, type, space.id, chdf5_default(), chdf5_default())
    }
  }

  private func readNumber<Element: HDF5Element>(_ attribute: hid_t) throws(HDF5Error) -> Element {
    var value = Element.zero
    _ = try HDF5Call.check("H5Aread", location) {
      unsafe H5Aread(attribute, Element.memoryType, &value)
    }
    return value
  }

  /// Text in a field of its own: up to its length, cut at the first zero.
  private func fixedText(_ attribute: hid_t, type: hid_t) throws(HDF5Error) -> [UInt8] {
    let length = try HDF5DataType.byteCount(of: type, at: location)
    var bytes = [UInt8](repeating: 0, count: length)
    _ = try HDF5Call.check("H5Aread", location) { unsafe H5Aread(attribute, type, &bytes) }
    return Array(bytes.prefix { $0 != 0 })
  }

  /// Text in a place of its own, which an attribute refers to.
  ///
  /// Read here, byte by byte checked, unless a digest has shown the file to be as it was written.
  private func variableText(
    _ name: String, _ attribute: hid_t, type: hid_t
  ) throws(HDF5Error) -> [UInt8] {
    if file.isTrusted { return try libraryText(attribute, type: type) }
    let address = try HDF5Call.check("H5Oget_info", location) {
      Int(truncatingIfNeeded: chdf5_object_address(handle.id))
    }
    let (descriptor, base) = try file.descriptor()
    do throws(HDF5TextFault) {
      return try ObjectHeader.text(
        name, address: UInt64(UInt(bitPattern: address)), file: descriptor, base: base,
        byteCount: file.byteCount)
    } catch {
      throw .unreadableText(location, attribute: name, error)
    }
  }

  /// Text that the library allocates, copies out of and takes back.
  private func libraryText(_ attribute: hid_t, type: hid_t) throws(HDF5Error) -> [UInt8] {
    var characters: UnsafeMutablePointer<CChar>?
    _ = try HDF5Call.check("H5Aread", location) {
      unsafe H5Aread(attribute, type, &characters)
    }
    guard let first = unsafe characters else { return [] }
    var bytes: [UInt8] = []
    var next = unsafe first
    // Unsafe: HDF5 ends what it returns with a zero.
    while unsafe next.pointee != 0 {
      bytes.append(UInt8(bitPattern: unsafe next.pointee))
      unsafe next += 1
    }
    _ = try HDF5Call.check("H5free_memory", location) { unsafe H5free_memory(first) }
    return bytes
  }
}
