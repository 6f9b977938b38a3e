/// Files that are given for text by mistake, told by their first bytes.
enum FileSignature {
  private static let known: [(bytes: [UInt8], kind: String, mend: String)] = [
    ([0x1f, 0x8b], "compressed twice", "Unpack it: gzip -dk FILE."),
    ([0x28, 0xb5, 0x2f, 0xfd], "compressed twice", "Unpack it: zstd -dk FILE."),
    ([0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed with xz", "Unpack it: xz -dk FILE."),
    ([0x42, 0x5a, 0x68, 0x39], "compressed with bzip2", "Unpack it: bzip2 -dk FILE."),
    ([0x50, 0x4b, 0x03, 0x04], "a zip archive", "Unpack it: unzip FILE."),
    (
      Array("PAR1".utf8), "a Parquet table",
      "Write its rows as JSONL, in Python: import pandas; "
        + "pandas.read_parquet(\"FILE\").to_json(\"rows.jsonl\", orient=\"records\", lines=True)"
    ),
    (
      Array("ARROW1".utf8), "an Arrow table",
      "Write its rows as JSONL, in Python: import pandas; "
        + "pandas.read_feather(\"FILE\").to_json(\"rows.jsonl\", orient=\"records\", lines=True)"
    ),
    (
      [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a], "HDF5",
      "A dataset is given to train as it is; --from reads those of other programs."
    ),
    ([0xff, 0xfe], "UTF-16", "Write it as UTF-8: iconv -f UTF-16 -t UTF-8."),
    ([0xfe, 0xff], "UTF-16", "Write it as UTF-8: iconv -f UTF-16 -t UTF-8."),
  ]

  /// What a file is that begins with `bytes`, and how it becomes text; nil where it may be text.
  static func of(_ bytes: [UInt8]) -> (kind: String, mend: String)? {
    known.first { bytes.starts(with: $0.bytes) }.map { ($0.kind, $0.mend) }
  }
}
