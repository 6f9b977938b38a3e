import Foundation
import JSON
import Reporting

extension RunPlan {
  /// The plan for readers.
  public var text: String {
    let ranks = min(job.ranksPerNode, job.ranks)
    var rows: [(String, String)] = [
      (
        "method",
        "\(method), \(Figure.grouped(parameters.trainable)) of \(Figure.grouped(parameters.total)) parameters train"
      ),
      (
        "job",
        "\(job.ranks) rank\(job.ranks == 1 ? "" : "s") of \(threads) thread\(threads == 1 ? "" : "s") on \(job.nodes) node\(job.nodes == 1 ? "" : "s")"
      ),
      ("", ""),
      (
        baseCopies > 1 ? "base, \(baseCopies) times a node" : "base, once a node",
        Figure.bytes(memory.base)
      ),
      ("  rounded to bf16", memory.rounded > 0 ? Figure.bytes(memory.rounded) : "none"),
      ("of each rank", Figure.bytes(ownBytes)),
      ("  activations", Figure.bytes(memory.workspace)),
      ("  adapter, optimiser, reduction", Figure.bytes(memory.training)),
      ("  threads", Figure.bytes(memory.threads)),
      ("  answers to sample prompts", memory.answers > 0 ? Figure.bytes(memory.answers) : "none"),
      ("  program", Figure.bytes(memory.program)),
      ("program's files, once a node", Figure.bytes(memory.libraries)),
      (
        "a node of \(ranks) rank\(ranks == 1 ? "" : "s")",
        "\(Figure.bytes(nodeBytes)) of \(Figure.bytes(job.nodeMemory))"
      ),
      ("", ""),
      ("tokens a step", Figure.grouped(Int(tokensPerStep))),
      ("arithmetic a step", rateText(operationsPerStep, unit: "FLOP")),
    ]
    if isTimed {
      rows += times
    } else {
      rows.append(("times", "not measured here: --flops says what a rank computes"))
    }
    rows.append(
      ("a checkpoint", Figure.bytes(checkpointBytes)))
    let width = rows.map(\.0.count).max() ?? 0
    var lines = rows.map { name, value in
      name.isEmpty ? "" : name + String(repeating: " ", count: width - name.count) + "  " + value
    }
    if !scaling.isEmpty { lines += ["", scalingText] }
    for problem in problems { lines += ["", problem] }
    return lines.joined(separator: "\n")
  }

  private var times: [(String, String)] {
    [
      (
        "a rank computes",
        rateText(operationsPerSecond, unit: "FLOP/s")
          + (neighbours > 0 ? " (measured beside \(neighbours) more)" : "")
      ),
      ("time a step", Figure.duration(seconds: secondsPerStep)),
      ("  passes of a rank", Figure.duration(seconds: balancedSeconds)),
      (
        "  waiting for the slowest",
        job.ranks > 1 ? Figure.duration(seconds: waitingSeconds) : "none"
      ),
      ("  update", Figure.duration(seconds: stepSeconds.update)),
      (
        "  allreduce of \(Figure.bytes(reducedBytes))",
        job.ranks > 1
          ? Figure.duration(seconds: stepSeconds.communication) + " (modelled, \(job.network.name))"
          : "none"
      ),
      ("ranks busy", percent(efficiency)),
      (
        "tokens a second",
        secondsPerStep > 0 ? Figure.significant(tokensPerStep / secondsPerStep, digits: 3) : "–"
      ),
      (
        "in all",
        "\(Figure.grouped(steps)) step\(steps == 1 ? "" : "s"), \(Figure.duration(seconds: totalSeconds))"
      ),
    ]
  }

  private func rateText(_ value: Double, unit: String) -> String {
    for (prefix, size) in [("P", 1e15), ("T", 1e12), ("G", 1e9)] where value >= size {
      return "\(Figure.significant(value / size, digits: 3)) \(prefix)\(unit)"
    }
    return "\(Figure.significant(value / 1e6, digits: 3)) M\(unit)"
  }

  /// The plan for programs.
  ///
  /// Times are null where there are none.
  public var value: JSONValue {
    func time(_ value: Double) -> JSONValue { isTimed ? .double(value) : .null }
    var value: [String: JSONValue] = [
      "method": .string(method), "trainable_parameters": .int(parameters.trainable),
      "total_parameters": .int(parameters.total), "ranks": .int(job.ranks),
      "ranks_per_node": .int(job.ranksPerNode), "nodes": .int(job.nodes),
      "base_copies": .int(baseCopies), "threads": .int(threads),
      "base_bytes": .int(memory.base), "rounded_bytes": .int(memory.rounded),
      "workspace_bytes": .int(memory.workspace), "training_bytes": .int(memory.training),
      "threads_bytes": .int(memory.threads), "program_bytes": .int(memory.program),
      "answers_bytes": .int(memory.answers), "libraries_bytes": .int(memory.libraries),
      "rank_bytes": .int(memory.total), "rank_own_bytes": .int(ownBytes),
      "node_bytes": .int(nodeBytes), "node_memory": .int(job.nodeMemory),
      "fits": .bool(problems.isEmpty), "problems": .array(problems.map { .string($0) }),
      "steps": .int(steps), "tokens_per_step": .double(tokensPerStep),
      "flops_per_step": .double(operationsPerStep),
      "flops_per_second_of_a_rank": time(operationsPerSecond), "measured_beside": .int(neighbours),
      "seconds_per_step": time(secondsPerStep), "seconds_of_passes": time(stepSeconds.passes),
      "seconds_of_waiting": time(waitingSeconds), "spread": time(spread),
      "seconds_of_update": time(stepSeconds.update),
      "seconds_of_communication": time(stepSeconds.communication),
      "seconds": time(totalSeconds), "efficiency": time(efficiency),
      "allreduce_bytes": .int(reducedBytes), "checkpoint_bytes": .int(checkpointBytes),
      "network": .string(job.network.name),
    ]
    if !scaling.isEmpty { value["scaling"] = scalingValue }
    return .object(value)
  }

  /// The lines that a Slurm script needs for this job, with some room in memory and time; without a time
  /// where there is none.
  public var slurm: String {
    // A tenth for what is not planned; at least a quarter of an hour for start-up and checkpoints.
    let memory = Int((Double(nodeBytes) * 1.1 / 1_048_576).rounded(.up)) + 256
    let minutes = Int((totalSeconds * 1.2 / 60).rounded(.up)) + 15
    let time = String(format: "%d:%02d:00", minutes / 60, minutes % 60)
    let lines = """
      #SBATCH --nodes=\(job.nodes)
      #SBATCH --ntasks=\(job.ranks)
      #SBATCH --ntasks-per-node=\(min(job.ranksPerNode, job.ranks))
      #SBATCH --cpus-per-task=\(threads)
      #SBATCH --mem=\(memory)M
      """
    return isTimed ? lines + "\n#SBATCH --time=\(time)" : lines
  }
}
