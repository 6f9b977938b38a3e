/// What `--version` says and the run line of the metrics keeps.
public enum ProgramVersion {
  /// The version.
  public static let text = "0.2.0"
}
