import CHDF5

/// A group or a dataset: something that has a place in a file and attributes.
package class HDF5Object {
  /// The file, open as long as the object lives.
  package let file: HDF5File
  package let location: HDF5Location
  let handle: HDF5Handle

  init(handle: consuming HDF5Handle, file: HDF5File, location: HDF5Location) {
    self.handle = handle
    self.file = file
    self.location = location
  }
}

/// A group: named groups and datasets.
package final class HDF5Group: HDF5Object {
  /// A member of a group.
  package struct Member: Sendable, Hashable {
    /// Its path from the group that was listed.
    package let name: String
    package let kind: HDF5ObjectKind
  }

  /// More than any object of ours has; beyond it HDF5 would store them where only it looks.
  private static let mostAttributesInHeader: CUnsignedInt = 1024

  /// No file of ours nests deeper; a loop of hard links would.
  private static let depthLimit = 32

  /// What is named `name`, or nil when there is nothing; `a/b` looks into `a`.
  ///
  /// A link that leads nowhere or out of the file is `other`. The corresponding C functions are
  /// `H5Lexists`, `H5Oopen` and `H5Iget_type`.
  package func kind(of name: String) throws(HDF5Error) -> HDF5ObjectKind? {
    try unusableLink(name) == nil ? kind(following: name) : .other
  }

  /// The link on the way to `name` that cannot be followed; nil where there is none.
  ///
  /// The corresponding C functions are `H5Lget_info` and `H5Oexists_by_name`.
  func unusableLink(_ name: String) throws(HDF5Error) -> (HDF5Location, HDF5Link)? {
    var path = ""
    for part in name.split(separator: "/", omittingEmptySubsequences: true) {
      path += path.isEmpty ? String(part) : "/\(part)"
      let place = location.member(path)
      let exists = try HDF5Call.check("H5Lexists", place) {
        unsafe H5Lexists(handle.id, path, chdf5_default())
      }
      guard exists > 0 else { return nil }
      let type = try HDF5Call.check("H5Lget_info", place) {
        unsafe chdf5_link_type(handle.id, path)
      }
      if type == chdf5_external_link() { return (place, .external) }
      if type > chdf5_external_link() { return (place, .foreign) }
      if type == chdf5_soft_link() {
        // Also fails where the way leads through a link out of the file, which is never followed.
        let resolves = try? HDF5Call.check("H5Oexists_by_name", place) {
          unsafe H5Oexists_by_name(handle.id, path, chdf5_default())
        }
        if resolves ?? 0 <= 0 { return (place, .dangling) }
      }
    }
    return nil
  }

  private func kind(following name: String) throws(HDF5Error) -> HDF5ObjectKind? {
    var path = ""
    for part in name.split(separator: "/", omittingEmptySubsequences: true) {
      path += path.isEmpty ? String(part) : "/\(part)"
      let place = location.member(path)
      let exists = try HDF5Call.check("H5Lexists", place) {
        unsafe H5Lexists(handle.id, path, chdf5_default())
      }
      guard exists > 0 else { return nil }
      let resolves = try HDF5Call.check("H5Oexists_by_name", place) {
        unsafe H5Oexists_by_name(handle.id, path, chdf5_default())
      }
      guard resolves > 0 else { return .other }
    }
    return try self.kind(opening: path)
  }

  /// The group named `name`.
  ///
  /// Throws `missingObject` or `wrongKind` where there is none.
  package func group(_ name: String) throws(HDF5Error) -> HDF5Group {
    try require(.group, name)
    let place = location.member(name)
    return HDF5Group(
      handle: try HDF5Handle("H5Gopen2", place) {
        unsafe H5Gopen2(handle.id, name, chdf5_default())
      }, file: file, location: place)
  }

  /// The dataset named `name`.
  ///
  /// Throws `missingObject` or `wrongKind` where there is none.
  package func dataset(_ name: String) throws(HDF5Error) -> HDF5Dataset {
    try require(.dataset, name)
    let place = location.member(name)
    return try HDF5Dataset(
      opened: try HDF5Handle("H5Dopen2", place) {
        unsafe H5Dopen2(handle.id, name, chdf5_default())
      }, file: file, location: place)
  }

  /// Its members in the order of their names.
  ///
  /// The corresponding C functions are `H5Gget_info` and `H5Lget_name_by_idx`.
  package func members() throws(HDF5Error) -> [Member] {
    var info = H5G_info_t()
    _ = try HDF5Call.check("H5Gget_info", location) { unsafe H5Gget_info(handle.id, &info) }
    var members: [Member] = []
    for index in 0..<info.nlinks {
      let name = try memberName(index)
      let kind = try self.kind(of: name) ?? .other
      members.append(Member(name: name, kind: kind))
    }
    return members
  }

  /// Everything below it, groups before what they hold, each by its path from here.
  package func allMembers() throws(HDF5Error) -> [Member] {
    var found: [Member] = []
    try collect(prefix: "", depth: 0, into: &found)
    return found
  }

  /// Creates the group `name`, and those that `a/b` needs on the way.
  ///
  /// The corresponding C function is `H5Gcreate2`.
  package func createGroup(_ name: String) throws(HDF5Error) -> HDF5Group {
    let place = location.member(name)
    let links = try intermediateGroups(place)
    let properties = try Self.timeless(place) {
      H5Pcreate(chdf5_group_create_class())
    }
    return HDF5Group(
      handle: try HDF5Handle("H5Gcreate2", place) {
        unsafe H5Gcreate2(handle.id, name, links.id, properties.id, chdf5_default())
      }, file: file, location: place)
  }

  /// A creation list that keeps no times, and all attributes in the object's own header.
  ///
  /// The corresponding C functions are `H5Pset_obj_track_times` and `H5Pset_attr_phase_change`.
  static func timeless(
    _ place: HDF5Location, _ create: () -> hid_t
  ) throws(HDF5Error) -> HDF5Handle {
    let properties = try HDF5Handle("H5Pcreate", place, create)
    _ = try HDF5Call.check("H5Pset_obj_track_times", place) {
      H5Pset_obj_track_times(properties.id, false)
    }
    _ = try HDF5Call.check("H5Pset_attr_phase_change", place) {
      H5Pset_attr_phase_change(properties.id, mostAttributesInHeader, 0)
    }
    return properties
  }

  /// A link creation list that makes missing groups on the way.
  func intermediateGroups(_ place: HDF5Location) throws(HDF5Error) -> HDF5Handle {
    let links = try HDF5Handle("H5Pcreate", place) { H5Pcreate(chdf5_link_create_class()) }
    _ = try HDF5Call.check("H5Pset_create_intermediate_group", place) {
      H5Pset_create_intermediate_group(links.id, 1)
    }
    return links
  }

  private func require(_ kind: HDF5ObjectKind, _ name: String) throws(HDF5Error) {
    if let (place, link) = try unusableLink(name) { throw .unusableLink(place, link) }
    guard let found = try self.kind(following: name) else {
      throw .missingObject(location.member(name))
    }
    guard found == kind else {
      throw .wrongKind(location.member(name), expected: kind, found: found)
    }
  }

  private func kind(opening path: String) throws(HDF5Error) -> HDF5ObjectKind {
    let place = location.member(path)
    if file.access == .reading && !file.isTrusted { try requireChunks(path, place) }
    let object = try HDF5Handle("H5Oopen", place) {
      unsafe H5Oopen(handle.id, path, chdf5_default())
    }
    let type = try HDF5Call.check("H5Iget_type", place) { H5Iget_type(object.id).rawValue }
    switch H5I_type_t(rawValue: type) {
    case H5I_GROUP: return .group
    case H5I_DATASET: return .dataset
    default: return .other
    }
  }

  /// Throws where the library would not survive opening a member.
  ///
  /// The corresponding C function is `H5Oget_info_by_name`.
  private func requireChunks(_ path: String, _ place: HDF5Location) throws(HDF5Error) {
    let address = unsafe chdf5_member_address(handle.id, path)
    let (descriptor, base) = try file.descriptor()
    if ObjectHeader.hasImpossibleChunks(
      address: UInt64(address), file: descriptor, base: base, byteCount: file.byteCount)
    {
      throw .impossibleChunks(place)
    }
  }

  private func memberName(_ index: hsize_t) throws(HDF5Error) -> String {
    let byName = H5_INDEX_NAME
    let length = try HDF5Call.check("H5Lget_name_by_idx", location) {
      unsafe H5Lget_name_by_idx(
        handle.id, ".", byName, H5_ITER_INC, index, nil, 0, chdf5_default())
    }
    var bytes = [CChar](repeating: 0, count: length + 1)
    _ = try HDF5Call.check("H5Lget_name_by_idx", location) {
      unsafe H5Lget_name_by_idx(
        handle.id, ".", byName, H5_ITER_INC, index, &bytes, bytes.count, chdf5_default())
    }
    return String(decoding: bytes.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private func collect(
    prefix: String, depth: Int, into found: inout [Member]
  ) throws(HDF5Error) {
    guard depth < HDF5Group.depthLimit else {
      throw .nestedTooDeeply(location, limit: HDF5Group.depthLimit)
    }
    for member in try members() {
      let path = prefix.isEmpty ? member.name : "\(prefix)/\(member.name)"
      found.append(Member(name: path, kind: member.kind))
      if member.kind == .group {
        try group(member.name).collect(prefix: path, depth: depth + 1, into: &found)
      }
    }
  }
}
