import Diagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Signs of life between nodes: datagrams that need no MPI and wait for nobody.
///
/// The lowest rank of each node sends one to rank 0 now and then, and rank 0 answers. So rank 0 knows
/// which node fell silent, and the others whether rank 0's did. A datagram may be lost; that a network
/// lets none through, is known by a node that was never heard, and which nobody then accuses.
///
/// ```swift
/// let beats = NodeBeats(nodes: nodes, own: 1, invitation: invitation)
/// var sightings = beats.noSightings
/// beats.exchange(&sightings, passed: 0.5, moment: RunProgress.now, sends: true)
/// ```
package final class NodeBeats: Sendable {
  /// A node and the ranks on it.
  package struct Node: Sendable, Hashable {
    package let name: String
    package let ranks: [Int]

    package init(name: String, ranks: [Int]) {
      self.name = name
      self.ranks = ranks
    }
  }

  /// What is known of a node.
  package struct Sighting: Sendable, Hashable {
    /// Whether anything was ever heard of it.
    package var isHeard = false
    /// Seconds since then.
    package var seconds = 0.0
    /// What its lowest rank did.
    package var moment = RunProgress.Moment(count: 0, step: 0, phase: .start, isWaiting: false)
  }

  /// All nodes, rank 0's first.
  package let nodes: [Node]
  /// This one among them.
  package let own: Int
  /// What others need to reach rank 0: a number that only this job knows, the port, the addresses.
  package let invitation: String
  private let token: UInt64
  private let file: CInt
  /// Rank 0's addresses, of which one may lead there; empty on rank 0.
  private let places: [sockaddr_in]

  #if canImport(Glibc)
    private static let kind = CInt(
      SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
  #else
    private static let kind = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK
  #endif

  /// Opens rank 0's socket.
  ///
  /// - Parameter nodes: all nodes, rank 0's first.
  /// - Returns: nil where the system gives no socket.
  package init?(nodes: [Node]) {
    let file = socket(AF_INET, Self.kind, 0)
    guard file >= 0 else { return nil }
    var place = Self.place(0, port: 0)
    let status = unsafe Self.with(&place) { address, length in
      var length = length
      guard unsafe bind(file, address, length) == 0 else { return -1 }
      return unsafe Int(getsockname(file, address, &length))
    }
    let addresses = Self.addresses()
    guard status == 0, !addresses.isEmpty else {
      close(file)
      return nil
    }
    (self.nodes, own, self.file, places) = (nodes, 0, file, [])
    token = .random(in: 1 ... .max)
    let numbers = [token, UInt64(UInt16(bigEndian: place.sin_port))] + addresses.map(UInt64.init)
    invitation = numbers.map(String.init).joined(separator: " ")
  }

  /// Opens the socket of another node's lowest rank.
  ///
  /// - Parameters:
  ///   - nodes: all nodes, rank 0's first.
  ///   - own: this one among them.
  ///   - invitation: rank 0's.
  /// - Returns: nil where the system gives no socket, or rank 0 got none and invites nobody.
  package init?(nodes: [Node], own: Int, invitation: String) {
    let numbers = invitation.split(separator: " ").compactMap { UInt64($0) }
    guard numbers.count > 2 else { return nil }
    let file = socket(AF_INET, Self.kind, 0)
    guard file >= 0 else { return nil }
    (self.nodes, self.own, self.file, token) = (nodes, own, file, numbers[0])
    self.invitation = invitation
    let port = UInt16(truncatingIfNeeded: numbers[1])
    places = numbers.dropFirst(2).map { Self.place(UInt32(truncatingIfNeeded: $0), port: port) }
  }

  deinit { close(file) }

  /// What is known at the start.
  package var noSightings: [Sighting] { nodes.map { _ in Sighting() } }

  /// Takes what has come, and tells what this node does.
  ///
  /// - Parameters:
  ///   - sightings: what is known, a node each.
  ///   - passed: seconds since the last call.
  ///   - moment: what this rank does.
  ///   - sends: whether it is time to say so; what others ask is always answered.
  package func exchange(
    _ sightings: inout [Sighting], passed: Double, moment: RunProgress.Moment, sends: Bool
  ) {
    for index in sightings.indices { sightings[index].seconds += passed }
    let beat = SIMD4(
      token, UInt64(own), moment.step, moment.phase.rawValue << 1 | (moment.isWaiting ? 1 : 0))
    // Twice the size of a beat, so that what is longer shows.
    var found = SIMD8<UInt64>()
    var sender = sockaddr_in()
    while true {
      let count = unsafe Self.with(&sender) { address, length in
        var length = length
        return unsafe withUnsafeMutableBytes(of: &found) {
          unsafe recvfrom(file, $0.baseAddress, $0.count, 0, address, &length)
        }
      }
      if count < 0 { break }
      // Whatever else arrives at the port is not ours.
      guard count == MemoryLayout<SIMD4<UInt64>>.size, found[0] == token,
        let node = Int(exactly: found[1]), nodes.indices.contains(node), node != own,
        own == 0 || node == 0
      else { continue }
      sightings[node] = Sighting(
        isHeard: true, seconds: 0,
        moment: RunProgress.Moment(
          count: 0, step: found[2], phase: RunProgress.Phase(rawValue: found[3] >> 1) ?? .start,
          isWaiting: found[3] & 1 == 1))
      if own == 0 { send(beat, to: sender) }
    }
    if sends { for place in places { send(beat, to: place) } }
  }

  /// Nodes that were heard once and then not for `limit` seconds, as far as this one can know.
  package func silent(_ sightings: [Sighting], limit: Double) -> [Int] {
    sightings.indices.filter { sightings[$0].isHeard && sightings[$0].seconds >= limit }
  }

  private func send(_ beat: SIMD4<UInt64>, to place: sockaddr_in) {
    var place = place
    // A datagram that does not leave is as one that is lost.
    _ = unsafe Self.with(&place) { address, length in
      unsafe withUnsafeBytes(of: beat) {
        unsafe sendto(file, $0.baseAddress, $0.count, 0, address, length)
      }
    }
  }

  private static func with<Result>(
    _ place: inout sockaddr_in,
    _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    unsafe withUnsafeMutablePointer(to: &place) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
  }

  private static func place(_ address: UInt32, port: UInt16) -> sockaddr_in {
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = address
    return place
  }

  /// This node's IPv4 addresses, at most eight; the loopback's only where there is no other.
  private static func addresses() -> [UInt32] {
    var first: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&first) == 0 else { return [] }
    defer { unsafe freeifaddrs(first) }
    var (outer, loops): ([UInt32], [UInt32]) = ([], [])
    var entry = unsafe first
    while let interface = unsafe entry {
      unsafe entry = interface.pointee.ifa_next
      guard let address = unsafe interface.pointee.ifa_addr,
        unsafe address.pointee.sa_family == sa_family_t(AF_INET)
      else { continue }
      let number = unsafe address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
        unsafe $0.pointee.sin_addr.s_addr
      }
      // 127.0.0.0/8
      if UInt32(bigEndian: number) >> 24 == 127 {
        loops.append(number)
      } else {
        outer.append(number)
      }
    }
    return Array((outer.isEmpty ? loops : outer).prefix(8))
  }
}

extension Communicator {
  /// Signs of life between nodes; called by all ranks.
  ///
  /// - Returns: nil on ranks that are not the lowest of their node, in a job of one node, and where
  ///   there is no network of this kind.
  func nodeBeats() throws(MPIError) -> NodeBeats? {
    guard nodeCount > 1 else { return nil }
    var nodes: [NodeBeats.Node] = []
    var indices: [Int: Int] = [:]
    for (rank, text) in try allGather("\(nodeLeader) \(processorName)").enumerated() {
      let parts = text.split(separator: " ", maxSplits: 1)
      let leader = parts.first.flatMap { Int($0) } ?? rank
      let name = parts.last.map(String.init) ?? ""
      if let index = indices[leader] {
        nodes[index] = NodeBeats.Node(name: nodes[index].name, ranks: nodes[index].ranks + [rank])
      } else {
        indices[leader] = nodes.count
        nodes.append(NodeBeats.Node(name: name, ranks: [rank]))
      }
    }
    let centre = rank == 0 ? NodeBeats(nodes: nodes) : nil
    let invitation = try broadcast(centre?.invitation ?? "", from: 0)
    if rank == 0 { return centre }
    guard rank == nodeLeader, let own = indices[rank] else { return nil }
    return NodeBeats(nodes: nodes, own: own, invitation: invitation)
  }
}
