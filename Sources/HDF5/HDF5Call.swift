import CHDF5
import Diagnostics
import Synchronization

/// The one place where HDF5 is called: status in, error with the whole error stack out.
///
/// ```swift
/// let id = try HDF5Call.check("H5Screate", location) { H5Screate(H5S_SCALAR) }
/// ```
///
/// The library is not thread-safe in every build and its error stack is global in those that are
/// not, so a call and the reading of its stack happen under one lock. Automatic printing is off.
enum HDF5Call {
  private static let lock = Mutex(())

  // Without HDF5's exit handler a file whose disk filled up cannot make the program's exit loop
  // over identifiers that no longer close; whatever is to be kept is closed explicitly before.
  // Failing here would mean only that the handler stays.
  //
  // Without the class of external links none is ever followed, on whatever way: a file names no
  // other file that is then read.
  private static let prepared: Void = {
    _ = H5dont_atexit()
    _ = H5Lunregister(H5L_type_t(chdf5_external_link()))
  }()

  /// Runs `call`, which must be one call of `function`; a negative status is thrown as an error.
  static func check<Status: SignedInteger & Sendable>(
    _ function: StaticString, _ location: @autoclosure () -> HDF5Location, _ call: () -> Status
  ) throws(HDF5Error) -> Status {
    _ = prepared
    let outcome = lock.withLock { _ -> Outcome<Status> in
      // Errors are printed per thread unless each thread turns it off; a failure to do so is only
      // noise on standard error.
      _ = chdf5_stop_printing_errors()
      let status = call()
      RunProgress.tick()
      return status >= 0 ? .success(status) : .failure(currentStack())
    }
    switch outcome {
    case .success(let status): return status
    case .failure(let stack):
      let location = location()
      if let frame = stack.first(where: { $0.message.hasPrefix("truncated file") }) {
        throw .truncated(file: location.file, message: frame.message)
      }
      if let frame = stack.first(where: { $0.message.hasPrefix("bad version number for") }) {
        throw .newerFormat(location, library: libraryVersion, message: frame.message)
      }
      throw .callFailed(location, function: "\(function)", stack: stack)
    }
  }

  /// The library that is linked, for example `1.10.8`.
  private static let libraryVersion: String = {
    var (major, minor, release): (CUnsignedInt, CUnsignedInt, CUnsignedInt) = (0, 0, 0)
    return unsafe H5get_libversion(&major, &minor, &release) < 0
      ? "of unknown version" : "\(major).\(minor).\(release)"
  }()

  /// Gives an identifier back.
  ///
  /// Nothing can be done where that fails: what must be known to be written is flushed before, by
  /// `HDF5File.flush`, which throws.
  static func release(_ id: hid_t) {
    lock.withLock { _ in
      _ = chdf5_stop_printing_errors()
      _ = H5Idec_ref(id)
    }
  }

  private enum Outcome<Status: Sendable>: Sendable {
    case success(Status)
    case failure([HDF5ErrorFrame])
  }

  /// The error stack of the call that just failed, outermost first.
  ///
  /// The lock is held.
  private static func currentStack() -> [HDF5ErrorFrame] {
    var frames: [HDF5ErrorFrame] = []
    // A copy of the stack, since the calls below would clear the thread's own.
    let stack = H5Eget_current_stack()
    guard stack >= 0 else { return [] }
    // Unsafe: the array's address goes through C as the callback's context; it outlives the walk.
    let status = unsafe withUnsafeMutablePointer(to: &frames) { pointer in
      unsafe H5Ewalk2(
        stack, H5E_WALK_DOWNWARD,
        { _, error, context in
          guard let error = unsafe error, let context = unsafe context else { return 0 }
          let entry = unsafe error.pointee
          unsafe context.assumingMemoryBound(to: [HDF5ErrorFrame].self).pointee.append(
            HDF5ErrorFrame(
              function: HDF5Call.text(unsafe entry.func_name),
              part: HDF5Call.message(entry.maj_num),
              kind: HDF5Call.message(entry.min_num),
              message: HDF5Call.text(unsafe entry.desc)))
          return 0
        }, pointer)
    }
    // Without a stack the function's name alone must do.
    return H5Eclose_stack(stack) >= 0 && status >= 0 ? frames : []
  }

  private static func text(_ characters: UnsafePointer<CChar>?) -> String {
    guard let characters = unsafe characters else { return "" }
    return unsafe String(cString: characters)
  }

  private static func message(_ id: hid_t) -> String {
    var type = H5E_MAJOR
    // 128 bytes hold every message of the library; longer ones are cut by it.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      guard unsafe H5Eget_msg(id, &type, buffer.baseAddress, buffer.count) > 0 else { return "" }
      return unsafe text(UnsafePointer(buffer.baseAddress))
    }
  }
}
