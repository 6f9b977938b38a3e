import COpenBLAS
import Foundation
import JSON
import Kernels

/// The machine that is measured: what figures mean nothing without.
package struct Machine: Sendable {
  /// The processor, as the kernel names it.
  package let processor: String
  /// Cores that this process may use.
  package let coreCount: Int
  /// Main memory, in bytes.
  package let memoryBytes: Int
  /// The instruction set that the kernels chose.
  package let instructionSet: String
  /// Whether products of bf16 numbers are native here.
  package let hasNativeBFloat16: Bool
  /// What the figures depend on, by name.
  package let versions: [String: String]

  /// Looks.
  ///
  /// - Parameters:
  ///   - program: `swift-peft-train`, to ask its version.
  ///   - peerVersions: what the peer depends on, by name.
  package init(program: String?, peerVersions: [String: String] = [:]) {
    let fields = Machine.fields(of: "/proc/cpuinfo")
    processor = fields["model name"] ?? fields["CPU part"] ?? "unknown processor"
    let memory = Machine.fields(of: "/proc/meminfo")["MemTotal"] ?? ""
    memoryBytes = (Int(memory.split(separator: " ").first ?? "") ?? 0) * 1024
    coreCount = Machine.allowedCores()
    instructionSet = InstructionSet.best.rawValue
    hasNativeBFloat16 = Compute.hasNativeBFloat16
    var versions = ["system": Machine.system()]
    versions["OpenBLAS"] = String(cString: openblas_get_config())
    versions["OpenBLAS kernels"] = String(cString: openblas_get_corename())
    versions["mpirun"] = Machine.firstLine(of: ["mpirun", "--version"])
    if let program {
      versions["swift-peft-train"] = Machine.firstLine(of: [program, "--version"])
    }
    for (name, version) in peerVersions { versions["peer's \(name)"] = version }
    self.versions = versions
  }

  /// A few lines for the head of a report.
  package var text: String {
    let gigabytes = String(format: "%.0f", Double(memoryBytes) / 1e9)
    let bf16 = hasNativeBFloat16 ? "native bf16 products" : "no native bf16 products"
    let lines =
      [
        "\(processor), \(coreCount) cores, \(gigabytes) GB; kernels for \(instructionSet), \(bf16)"
      ] + versions.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The same for programs.
  package var json: JSONValue {
    [
      "processor": .string(processor), "cores": .int(coreCount), "memory_bytes": .int(memoryBytes),
      "instruction_set": .string(instructionSet), "native_bf16": .bool(hasNativeBFloat16),
      "versions": .object(versions.mapValues { .string($0) }),
    ]
  }

  /// Lines of the form `key : value`; of a key that comes again the first.
  private static func fields(of path: String) -> [String: String] {
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
    var fields: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1).map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      if parts.count == 2 && fields[parts[0]] == nil { fields[parts[0]] = parts[1] }
    }
    return fields
  }

  private static func allowedCores() -> Int {
    let list = fields(of: "/proc/self/status")["Cpus_allowed_list"] ?? ""
    let count = list.split(separator: ",").reduce(0) { sum, range in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last else { return sum }
      return sum + last - first + 1
    }
    return count > 0 ? count : ProcessInfo.processInfo.activeProcessorCount
  }

  private static func system() -> String {
    let kernel = (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)) ?? ""
    return "\(ProcessInfo.processInfo.operatingSystemVersionString), Linux "
      + kernel.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private static func firstLine(of command: [String]) -> String {
    let text = (try? Subprocess(command: command).run().text) ?? "not found"
    return text.split(separator: "\n").first.map(String.init) ?? ""
  }
}
