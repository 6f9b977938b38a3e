import Datasets
import JSON

extension PreparationReport {
  /// The report in lines of text.
  public var text: String {
    var lines: [String] = []
    let kinds = RowForm.allCases.compactMap { form in
      forms[form].map { "\($0) \($0 == 1 ? "row" : "rows") taken for \(form)" }
    }
    lines.append("rows       \(rowsRead) read" + (kinds.isEmpty ? "" : "; " + list(kinds)))
    if let templateName { lines.append("template   \(templateName)") }
    lines.append("left out   " + (leftOut ?? "none"))
    if truncated > 0 { lines.append("cut        \(truncated) to \(maxLength ?? 0) tokens") }
    if divided > 0 {
      lines.append("divided    \(divided) into examples of \(maxLength ?? 0) tokens at most")
    }
    for name in SplitName.allCases {
      guard let split = splits[name] else { continue }
      let lengths = split.lengths
      let tokens = lengths.total
      let share = tokens == 0 ? 0 : Double(split.countedTokens) / Double(tokens)
      lines.append(
        pad("\(name)", 11)
          + "\(lengths.count) examples, \(tokens) tokens, \(split.countedTokens) "
          + "(\(decimal(share * 100)) %) count in the loss")
      lines.append(
        "           tokens an example: least \(lengths.minimum), median \(lengths.quantile(0.5)), "
          + "mean \(decimal(lengths.mean)), 95 % up to \(lengths.quantile(0.95)), "
          + "most \(lengths.maximum)")
      let hint = split.duplicates > 0 && !removesDuplicates ? " (--deduplicate removes them)" : ""
      lines.append("           exact duplicates: \(split.duplicates)" + hint)
    }
    if splits[.validation] != nil {
      lines.append("           of validation also in train: \(acrossSplits)")
    }
    for row in brokenRows { lines.append("broken     \(row.location): \(row.problem)") }
    if brokenCount > brokenRows.count {
      lines.append("           and \(brokenCount - brokenRows.count) more")
    }
    for warning in warnings { lines.append("warning    \(warning)") }
    if !output.isEmpty { lines.append("written    \(output)") }
    return lines.joined(separator: "\n")
  }

  /// What was left out and why; nil where nothing was.
  var leftOut: String? {
    let reasons = [
      (brokenCount, "broken"), (droppedLong, "longer than --max-length"),
      (withoutTarget, "without a token that counts"), (removedDuplicates, "duplicates"),
    ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
    return reasons.isEmpty ? nil : list(reasons)
  }

  /// The report for programs.
  public var json: JSONValue {
    var parts: [String: JSONValue] = [
      "output": .string(output), "rows_read": .int(rowsRead), "examples": .int(examples),
      "broken": .int(brokenCount), "too_long_dropped": .int(droppedLong),
      "truncated": .int(truncated), "divided": .int(divided),
      "without_target": .int(withoutTarget), "only_end_token": .int(onlyEnds),
      "duplicates_removed": .int(removedDuplicates),
      "duplicates_across_splits": .int(acrossSplits), "answers": .int(answers),
      "answers_without_stop_token": .int(unclosedAnswers),
      "double_begin_token": .int(doubleBegins),
      "forms": .object(
        Dictionary(uniqueKeysWithValues: forms.map { ($0.key.rawValue, .int($0.value)) })),
      "broken_rows": .array(
        brokenRows.map { row in
          [
            "file": .string(row.location.file), "line": .int(row.location.line),
            "reason": .string(row.problem.description),
          ]
        }),
      "columns": columns.json,
      "warnings": .array(warnings.map { .string($0) }),
      "chat_template": templateName.map { .string($0) } ?? .null,
    ]
    for (name, split) in splits {
      let lengths = split.lengths
      parts[name.rawValue] = [
        "examples": .int(lengths.count), "tokens": .int(lengths.total),
        "counted_tokens": .int(split.countedTokens), "duplicates": .int(split.duplicates),
        "length": [
          "min": .int(lengths.minimum), "median": .int(lengths.quantile(0.5)),
          "mean": .double(lengths.mean), "p95": .int(lengths.quantile(0.95)),
          "max": .int(lengths.maximum),
        ],
      ]
    }
    return .object(parts)
  }

  private func list(_ parts: [String]) -> String { parts.joined(separator: ", ") }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// One digit behind the point.
  private func decimal(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
