import CMPI

/// Which MPI library the user asks for.
public enum MPIChoice: String, Sendable, CaseIterable {
  /// The one of the launcher that started the process.
  case auto
  /// Open MPI, 4 or 5.
  case openMPI = "openmpi"
  /// MPICH or another of its binary interface: Intel MPI, Cray MPICH, MVAPICH.
  case mpich
}

/// The MPI libraries that the program can load: one program for all of them.
package enum MPILibrary: CaseIterable {
  case openMPI, mpich

  /// Names to load it by: those of its binary interface, found as the system's loader finds libraries.
  var fileNames: [String] {
    switch self {
    case .openMPI: ["libmpi.so.40"]
    // The name of the interface (Intel's, MVAPICH's, Cray's for it), Debian's, Cray's own.
    case .mpich: ["libmpi.so.12", "libmpich.so.12", "libmpi_cray.so.12", "libmpi_gnu.so.12"]
    }
  }

  var name: String {
    switch self {
    case .openMPI: "Open MPI 4 or 5"
    case .mpich: "MPICH, Intel MPI, Cray MPICH or MVAPICH"
    }
  }

  private var abi: cmpi_abi { self == .openMPI ? cmpi_abi_openmpi : cmpi_abi_mpich }

  /// The environment variable with names or paths to try in the place of ``fileNames``.
  static let namesVariable = "SWIFT_PEFT_TRAIN_MPI_NAMES"

  /// Loads the library that a job needs; what is loaded already stays.
  ///
  /// - Throws: `MPIError.noLibrary` where none of those that may fit can be loaded.
  static func load(_ choice: MPIChoice, for claim: LauncherClaim) throws(MPIError) {
    if cmpi_is_loaded() != 0 { return }
    let candidates: [MPILibrary] =
      switch choice {
      case .auto: claim.libraries
      case .openMPI: [.openMPI]
      case .mpich: [.mpich]
      }
    // Another name or a path, for libraries that are installed as none of those.
    let given = Communicator.environment()[namesVariable].map {
      $0.split(separator: ",").map(String.init)
    }
    var problems: [String] = []
    for library in candidates {
      for name in given ?? library.fileNames {
        guard let problem = unsafe cmpi_load(library.abi, name) else { return }
        problems.append(unsafe String(cString: problem))
      }
    }
    throw .noLibrary(
      claim: claim, wanted: candidates.map(\.name).joined(separator: ", or "), problems: problems)
  }
}

extension LauncherClaim {
  /// The libraries that may speak with the launcher, the likeliest first.
  package var libraries: [MPILibrary] {
    switch launcher {
    case .openMPI: [.openMPI]
    case .pmi: [.mpich]
    // PMIx is Open MPI's; PMI-2 is spoken by both.
    case .slurm: hasPMIx ? [.openMPI, .mpich] : [.mpich, .openMPI]
    case .pmix, .other: variable.hasPrefix("MV2") ? [.mpich] : [.openMPI, .mpich]
    }
  }
}
