import Model
import Tensors

extension HookSet {
  /// Gives the hooks to a decoder, in a method's name.
  ///
  /// - Parameters:
  ///   - method: who attaches, for messages.
  ///   - base: tensors of the base that train along, moved into `arena`.
  /// - Throws: `PEFTError.unsupportedBase` with the decoder's reason.
  func attach(
    to decoder: Decoder, as method: String, base: BaseTensors? = nil, arena: ParameterArena
  ) throws(PEFTError) {
    try asMethod(method) { () throws(ModelError) in
      try decoder.attach(self)
      try base?.attach(to: decoder, arena: arena)
    }
  }
}

/// Does something to a decoder in a method's name.
///
/// - Throws: `PEFTError.unsupportedBase` with the decoder's reason.
func asMethod(
  _ method: String, _ change: () throws(ModelError) -> Void
) throws(PEFTError) {
  do { try change() } catch {
    throw .unsupportedBase(method: method, reason: error.description)
  }
}
