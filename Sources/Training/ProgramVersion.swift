/// What `--version` says and the run line of the metrics keeps.
package enum ProgramVersion {
  /// The version.
  package static let text = "0.2.0"
}
