// Changed files are made by a target of its own, since programs that tests start make them too.
@_exported import Mutating
