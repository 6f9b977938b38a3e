import Foundation

/// `strftime` with English names, as Python has it in the C locale.
enum DateText {
  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
  ]
  private static let days = [
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
  ]

  /// A date, local time, by a format of `%` directives.
  static func text(
    of date: Date, format: String, _ arguments: CallArguments
  ) throws(TemplateError) -> String {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .current
    let parts = calendar.dateComponents(
      [.year, .month, .day, .hour, .minute, .second, .weekday], from: date)
    let (year, month, day) = (parts.year ?? 0, parts.month ?? 1, parts.day ?? 1)
    let (hour, minute, second) = (parts.hour ?? 0, parts.minute ?? 0, parts.second ?? 0)
    let weekday = (parts.weekday ?? 1) - 1
    var result = ""
    var letters = format.unicodeScalars.makeIterator()
    while let scalar = letters.next() {
      guard scalar == "%" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      var directive = letters.next()
      // glibc's flag for a number without its leading zero.
      let width = directive == "-" ? 1 : 2
      if directive == "-" { directive = letters.next() }
      switch directive {
      case "Y": result += String(year)
      case "y": result += padded(year % 100, width)
      case "m": result += padded(month, width)
      case "d": result += padded(day, width)
      case "H": result += padded(hour, width)
      case "I": result += padded((hour + 11) % 12 + 1, width)
      case "M": result += padded(minute, width)
      case "S": result += padded(second, width)
      case "B": result += months[month - 1]
      case "b": result += String(months[month - 1].prefix(3))
      case "A": result += days[weekday]
      case "a": result += String(days[weekday].prefix(3))
      case "p": result += hour < 12 ? "AM" : "PM"
      case "%": result += "%"
      default:
        throw .unsupported(
          template: arguments.template, line: arguments.line, part: "date directive",
          name: "%" + (directive.map { String($0) } ?? ""))
      }
    }
    return result
  }

  private static func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}
