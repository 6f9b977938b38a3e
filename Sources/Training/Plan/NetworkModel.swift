import Foundation

/// What a message costs between nodes: the latency and gap-a-byte of LogGP.
///
/// Alexandrov, Ionescu, Schauser, Scheiman: "LogGP: incorporating long messages into the LogP model"
/// (SPAA 1995). The constants are what MPI reaches on such networks, not what is printed on the box.
public struct NetworkModel: Sendable {
  /// Its name on the command line.
  public let name: String
  /// Seconds that a message takes however short it is, the sender's and receiver's work included.
  public let latency: Double
  /// Seconds a byte.
  public let secondsPerByte: Double
  /// Messages of more bytes are announced first, which takes two latencies more.
  public let eagerBytes: Int

  /// The networks that `plan --network` knows.
  public static let all = [
    NetworkModel(name: "10GbE", latency: 25e-6, secondsPerByte: 1 / 1.1e9, eagerBytes: 65_536),
    NetworkModel(name: "100GbE", latency: 6e-6, secondsPerByte: 1 / 11e9, eagerBytes: 65_536),
    NetworkModel(name: "IB", latency: 1.5e-6, secondsPerByte: 1 / 20e9, eagerBytes: 8_192),
  ]

  /// Between ranks of a node, through shared memory: Open MPI 4.1 on two cores of an AMD EPYC (Zen 3).
  static let sharedMemory = NetworkModel(
    name: "memory", latency: 1e-6, secondsPerByte: 1 / 5.5e9, eagerBytes: 4_096)

  /// The one of a name, whatever its case.
  public static func named(_ name: String) -> NetworkModel? {
    all.first { $0.name.lowercased() == name.lowercased() }
  }

  /// Seconds of a message where `sharers` ranks of a node send at the same time over what they share.
  func message(bytes: Double, sharers: Int = 1) -> Double {
    (bytes > Double(eagerBytes) ? 3 : 1) * latency + bytes * Double(sharers) * secondsPerByte
  }
}
