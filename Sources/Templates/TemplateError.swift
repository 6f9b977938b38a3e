import Diagnostics

/// What can be wrong with a chat template, or with a conversation for it.
public enum TemplateError: ClassifiedError, Equatable {
  /// The text is not Jinja.
  case syntax(template: String, line: Int, problem: String)
  /// The template uses a part of Jinja that this program does not know; `part` names its kind.
  case unsupported(template: String, line: Int, part: String, name: String)
  /// Something that cannot be done with these values.
  case evaluation(template: String, line: Int, problem: String)
  /// The template itself refused the conversation by `raise_exception`.
  case raised(template: String, line: Int, message: String)

  /// Always wrong input.
  public var errorClass: ErrorClass { .input }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .syntax(let template, let line, let problem):
      "\(template), line \(line): \(problem). Compare it with the model's page."
    case .unsupported(let template, let line, let part, let name):
      "\(template), line \(line), uses the \(part) '\(name)', which this program does not know. "
        + "prepare and generate --chat take another template with --chat-template FILE."
    case .evaluation(let template, let line, let problem): "\(template), line \(line): \(problem)."
    case .raised(let template, let line, let message):
      "\(template), line \(line), refuses the conversation: \(message)"
    }
  }
}
