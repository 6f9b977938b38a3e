import CHDF5

/// The owner of one HDF5 identifier of any kind, which it closes when it goes.
///
/// The corresponding C function is `H5Idec_ref`.
struct HDF5Handle: ~Copyable {
  /// The identifier, valid as long as the handle lives.
  let id: hid_t

  /// Takes over what `call`, one call of `function`, opens or creates.
  init(
    _ function: StaticString, _ location: @autoclosure () -> HDF5Location, _ call: () -> hid_t
  ) throws(HDF5Error) {
    id = try HDF5Call.check(function, location(), call)
  }

  deinit { HDF5Call.release(id) }
}
