import Foundation

/// What a message costs between nodes: the latency and gap-a-byte of LogGP.
///
/// Alexandrov, Ionescu, Schauser, Scheiman: "LogGP: incorporating long messages into the LogP model"
/// (SPAA 1995). The constants are what MPI reaches on such networks, not what is printed on the box.
public struct NetworkModel: Sendable {
  /// Its name on the command line.
  public let name: String
  /// Seconds that a message takes however short it is.
  public let latency: Double
  /// Seconds a byte.
  public let secondsPerByte: Double

  /// The networks that `plan --network` knows.
  public static let all = [
    NetworkModel(name: "10GbE", latency: 25e-6, secondsPerByte: 1 / 1.1e9),
    NetworkModel(name: "100GbE", latency: 6e-6, secondsPerByte: 1 / 11e9),
    NetworkModel(name: "IB", latency: 1.5e-6, secondsPerByte: 1 / 20e9),
  ]

  /// Between ranks of a node, through shared memory.
  static let sharedMemory = NetworkModel(name: "memory", latency: 1e-6, secondsPerByte: 1 / 3e9)

  /// The one of a name, whatever its case.
  public static func named(_ name: String) -> NetworkModel? {
    all.first { $0.name.lowercased() == name.lowercased() }
  }

  /// Seconds of an allreduce of `bytes` over `ranks`, the sums included in the gap.
  ///
  /// Recursive halving and doubling (Thakur, Rabenseifner, Gropp: "Optimization of collective
  /// communication operations in MPICH", IJHPCA 19, 2005): 2 ⌈log2 p⌉ latencies and 2 (p - 1) / p of
  /// the bytes.
  func allreduce(bytes: Int, ranks: Int) -> Double {
    guard ranks > 1 else { return 0 }
    let rounds = 2 * log2(Double(ranks)).rounded(.up)
    return rounds * latency + 2 * Double(ranks - 1) / Double(ranks) * Double(bytes) * secondsPerByte
  }
}
