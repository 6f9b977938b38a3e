import Foundation
import Model
import TestSupport
import Testing
import Training

@Suite("What memory a node has at most") struct MemoryRoomTests {
  private let gibibyte = 1 << 30

  /// A directory with these files, by their paths.
  private func root(_ files: [String: String]) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for (name, text) in files {
      let path = URL(fileURLWithPath: directory.path(name))
      try FileManager.default.createDirectory(
        at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: path, atomically: true, encoding: .utf8)
    }
    return directory
  }

  private func bytes(_ files: [String: String]) throws -> [Int] {
    let root = try root(files)
    return MemoryRoom(root: root.path(""), physical: 64 * gibibyte).limits.map(\.byteCount)
  }

  @Test("A control group of version 2 has its own limit and those of all above it")
  func versionTwo() throws {
    let step = "sys/fs/cgroup/system.slice/job_7/step_0"
    let files = [
      "proc/self/cgroup": "0::/system.slice/job_7/step_0\n",
      "\(step)/memory.max": "max\n",
      "sys/fs/cgroup/system.slice/job_7/memory.max": "\(8 * gibibyte)\n",
      "sys/fs/cgroup/system.slice/memory.max": "\(16 * gibibyte)\n",
      // Another job's.
      "sys/fs/cgroup/system.slice/job_8/memory.max": "1\n",
    ]
    #expect(try bytes(files) == [64 * gibibyte, 8 * gibibyte, 16 * gibibyte])
    let own = files.merging(["\(step)/memory.max": "\(4 * gibibyte)\n"]) { $1 }
    #expect(try bytes(own) == [64, 4, 8, 16].map { $0 * gibibyte })
  }

  @Test("So has one of version 1, where a number near 2^63 is no limit")
  func versionOne() throws {
    let files = [
      "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/slurm/uid_1/job_7\n0::/\n",
      "sys/fs/cgroup/memory/slurm/uid_1/job_7/memory.limit_in_bytes": "\(2 * gibibyte)\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    ]
    #expect(try bytes(files) == [64 * gibibyte, 2 * gibibyte])
  }

  @Test("A container that sees its own group alone has that one's limit")
  func container() throws {
    for path in ["/docker/4711", "/", "/../../job_7"] {
      let files = [
        "proc/self/cgroup": "0::\(path)\n", "sys/fs/cgroup/memory.max": "\(3 * gibibyte)",
      ]
      #expect(try bytes(files) == [64 * gibibyte, 3 * gibibyte], "\(path)")
    }
    #expect(try bytes([:]) == [64 * gibibyte])
  }

  @Test("Ranks that share a limit must fit into it together")
  func sharers() throws {
    let room = MemoryRoom(limits: [
      .init(.machine, byteCount: 64 * gibibyte, sharers: 4),
      .init(.group(file: "/job/memory.max"), byteCount: 16 * gibibyte, sharers: 2),
    ])
    let none = ProcessMemory()
    func shortage(_ bytes: Int) -> String? {
      room.shortage(of: [MemoryPart("activations", bytes)], process: none) { fits in
        [fits(bytes, 1) ? "one rank" : "less"]
      }?.description
    }
    #expect(shortage(8 * gibibyte) == nil)
    let group = try #require(shortage(9 * gibibyte))
    #expect(group.contains("16.0 GiB for 2 ranks together (/job/memory.max)"), "\(group)")
    #expect(group.contains("9.00 GiB of activations") && group.contains("one rank"), "\(group)")
    let machine = try #require(shortage(17 * gibibyte))
    #expect(machine.contains("this machine has 64.0 GiB for 4 ranks together"), "\(machine)")
    #expect(machine.contains("What would fit: less."), "\(machine)")
    #expect(try #require(shortage(.max)).contains("this machine"))
  }

  @Test("Limits of a process count what it has already, but for what is part of the need")
  func process() throws {
    let room = MemoryRoom(limits: [.init(.machine, byteCount: 64 * gibibyte)])
    let process = ProcessMemory(addresses: 8 * gibibyte, usedAddresses: 5 * gibibyte)
    func fits(_ bytes: Int, present: Int = 0) -> Bool {
      room.shortage(of: [MemoryPart("sums", bytes, present: present)], process: process) == nil
    }
    #expect(fits(3 * gibibyte) && !fits(3 * gibibyte + 1))
    #expect(fits(7 * gibibyte, present: 4 * gibibyte) && !fits(7 * gibibyte, present: gibibyte))
    let data = ProcessMemory(data: gibibyte)
    let part = MemoryPart("sums", 2 * gibibyte)
    let text = try #require(room.shortage(of: [part], process: data)).description
    #expect(text.contains("'ulimit -d' allows a process 1.00 GiB"), "\(text)")
  }

  @Test("Memory that others use counts where it need not be tried")
  func free() throws {
    let root = try root(["proc/meminfo": "MemTotal: 67108864 kB\nMemAvailable:    2048 kB\n"])
    var room = MemoryRoom(limits: [.init(.machine, byteCount: 64 * gibibyte)])
    room.countFreeMemory(root: root.path(""))
    #expect(room.shortage(of: [MemoryPart("sums", 2 << 20)], process: ProcessMemory()) == nil)
    let shortage = room.shortage(of: [MemoryPart("sums", 3 << 20)], process: ProcessMemory())
    #expect(try #require(shortage).description.contains("2.00 MiB free now"))
  }

  @Test("A decoder is prepared for what there is room for")
  func passes() throws {
    let decoder = try Decoder(directory: fixturePath("model/llama"), arithmetic: .float32)
    func prepare(_ tokens: Int) throws -> Int {
      try decoder.prepare(for: .inference, maximumTokens: tokens, maximumSequences: 1).byteCount
    }
    let small = try prepare(4)
    MemoryRoom(limits: [.init(.machine, byteCount: 2 * small)]).guardPasses(of: decoder)
    #expect(try prepare(4) == small)
    let error = #expect(throws: ModelError.self) { try prepare(64) }
    #expect(try #require(error).description.contains("of activations"))
    #expect(error?.errorClass == .usage)
    // Nothing is asked for that is only planned.
    #expect(
      try decoder.prepare(
        for: .inference, maximumTokens: 64, maximumSequences: 1, isPlanned: true
      ).byteCount > 2 * small)
  }
}
