import CHDF5
import Files
import Glibc

/// An open HDF5 file.
///
/// ```swift
/// let file = try HDF5File(reading: "data.h5")
/// let tokens = try file.root.dataset("train/tokens").read(UInt32.self)
/// ```
///
/// Groups and datasets keep their file open. Not `Sendable`: one thread uses a file at a time.
/// Files are neither locked (a network file system often cannot, and a private name is enough
/// protection for what is being written) nor opened for change once they are complete.
package final class HDF5File {
  /// The path that it was opened by.
  package let path: String
  package let access: HDF5Access
  /// Bytes of a file that was opened for reading.
  package let byteCount: Int
  /// Whether a digest has shown that the file is as this program wrote it.
  let isTrusted: Bool
  let handle: HDF5Handle

  /// Opens an existing file for reading; `trusted` if a digest of its bytes was compared before.
  ///
  /// Throws `HDF5Error.cannotOpen`, `.notHDF5`, `.truncated` or `.callFailed`. The corresponding C
  /// function is `H5Fopen`.
  package init(reading path: String, trusted: Bool = false) throws(HDF5Error) {
    let location = HDF5Location(file: path, object: "/", access: .reading)
    // HDF5 opens a directory like a file, and waits for a pipe; the system's reason says more, too.
    do throws(FileError) { byteCount = try InputFile.check(path) } catch {
      throw .cannotOpen(file: path, access: .reading, reason: error.reason)
    }
    let isHDF5 = try HDF5Call.check("H5Fis_hdf5", location) { unsafe H5Fis_hdf5(path) }
    guard isHDF5 > 0 else { throw .notHDF5(file: path) }
    let properties = try HDF5File.accessProperties(location)
    self.path = path
    access = .reading
    isTrusted = trusted
    handle = try HDF5Handle("H5Fopen", location) {
      unsafe H5Fopen(path, chdf5_read_only(), properties.id)
    }
  }

  /// Creates a file that will be published when it is whole.
  ///
  /// It is the same file as ``init(creating:)`` makes. The corresponding C function is `H5Fcreate`.
  ///
  /// - Throws: `HDF5Error.callFailed`.
  package convenience init(filling pending: borrowing PendingFile) throws(HDF5Error) {
    try self.init(overwriting: pending.partialPath, named: pending.path)
  }

  /// Creates a file, which must not be there yet.
  ///
  /// Metadata is written in the format of HDF5 1.8, in which it carries checksums; every h5py reads
  /// it. No times are kept in it, so that the same content is the same file. Throws
  /// `HDF5Error.cannotOpen` or `.callFailed`. The corresponding C function is `H5Fcreate`.
  package convenience init(creating path: String) throws(HDF5Error) {
    // Created here first: the operating system's reason is clearer than HDF5's stack, and nobody
    // else's file is overwritten. HDF5 then truncates the empty file.
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw .cannotOpen(file: path, access: .writing, reason: systemReason(errno))
    }
    guard Glibc.close(descriptor) == 0 else {
      throw .cannotOpen(file: path, access: .writing, reason: systemReason(errno))
    }
    try self.init(overwriting: path, named: path)
  }

  /// Overwrites an empty file; errors call it `name`.
  private init(overwriting partialPath: String, named name: String) throws(HDF5Error) {
    let location = HDF5Location(file: name, object: "/", access: .writing)
    let properties = try HDF5File.accessProperties(location)
    _ = try HDF5Call.check("H5Pset_libver_bounds", location) {
      H5Pset_libver_bounds(properties.id, H5F_LIBVER_V18, H5F_LIBVER_V18)
    }
    let creation = try HDF5Group.timeless(location) {
      H5Pcreate(chdf5_file_create_class())
    }
    path = name
    access = .writing
    byteCount = 0
    isTrusted = true
    handle = try HDF5Handle("H5Fcreate", location) {
      unsafe H5Fcreate(partialPath, chdf5_truncate(), creation.id, properties.id)
    }
  }

  /// The group `/`.
  package var root: HDF5Group {
    get throws(HDF5Error) {
      let location = HDF5Location(file: path, object: "/", access: access)
      return HDF5Group(
        handle: try HDF5Handle("H5Gopen2", location) {
          unsafe H5Gopen2(handle.id, "/", chdf5_default())
        },
        file: self, location: location)
    }
  }

  /// Hands everything written so far to the operating system.
  ///
  /// To be called before the file goes, since a deinitialiser cannot report what fails. The corresponding C function is `H5Fflush`.
  package func flush() throws(HDF5Error) {
    let location = HDF5Location(file: path, object: "/", access: access)
    _ = try HDF5Call.check("H5Fflush", location) { H5Fflush(handle.id, H5F_SCOPE_GLOBAL) }
  }

  /// The descriptor that the library reads by, and the bytes in front of the first address.
  ///
  /// The corresponding C functions are `H5Fget_vfd_handle` and `H5Pget_userblock`.
  func descriptor() throws(HDF5Error) -> (number: CInt, base: UInt64) {
    let location = HDF5Location(file: path, object: "/", access: access)
    let number = try HDF5Call.check("H5Fget_vfd_handle", location) { chdf5_descriptor(handle.id) }
    let creation = try HDF5Handle("H5Fget_create_plist", location) {
      H5Fget_create_plist(handle.id)
    }
    var base = hsize_t()
    _ = try HDF5Call.check("H5Pget_userblock", location) {
      unsafe H5Pget_userblock(creation.id, &base)
    }
    return (number, UInt64(base))
  }

  private static func accessProperties(_ location: HDF5Location) throws(HDF5Error) -> HDF5Handle {
    let properties = try HDF5Handle("H5Pcreate", location) {
      H5Pcreate(chdf5_file_access_class())
    }
    _ = try HDF5Call.check("H5Pset_file_locking", location) {
      chdf5_set_no_file_locking(properties.id)
    }
    return properties
  }
}
