import Foundation
import Reporting
import Testing

@Suite("Tables of a report") struct ReportTableTests {
  private func table() -> ReportTable {
    var table = ReportTable(columns: [
      .init("name", "Name"), .init("loss", "Loss", isNumeric: true),
      .init("hidden", "Hidden", isShown: false),
    ])
    table.append([.init("a, \"b\"\n<i>|"), .init(raw: "0.25", shown: "0.250"), .init("x")])
    table.append([.init("c"), .none, .init("y")])
    return table
  }

  @Test("CSV quotes what RFC 4180 asks for, and has every column's raw value")
  func csv() {
    #expect(
      table().csv
        == "name,loss,hidden\r\n\"a, \"\"b\"\"\n<i>|\",0.25,x\r\nc,,y\r\n")
  }

  @Test("HTML escapes every cell and leaves out what readers do not see")
  func html() {
    let html = table().html
    #expect(html.contains("a, &quot;b&quot;\n&lt;i&gt;|"))
    #expect(!html.contains("<i>") && !html.contains("Hidden"))
    // Sentences break into lines, figures and names do not.
    let prose = ReportTable(columns: [.init("answer", "Answer")], isProse: true)
    #expect(prose.html.contains("<table class=\"prose\">") && !html.contains("prose"))
  }

  @Test("A terminal's columns are aligned, numbers at the right")
  func plain() {
    var table = ReportTable(columns: [
      .init("m", "Method"), .init("n", "N", isNumeric: true),
    ])
    table.append([.init("lora"), .init("1")])
    table.append([.init("prefix-tuning"), .init("100")])
    #expect(
      table.plainText == """
        Method           N
        -------------  ---
        lora             1
        prefix-tuning  100

        """)
  }

  @Test("What a terminal has no room for stands below, with the first column in front")
  func narrow() {
    var table = ReportTable(columns: [
      .init("m", "Method"), .init("a", "A", isNumeric: true), .init("b", "Bytes", isNumeric: true),
      .init("c", "C"),
    ])
    table.append([.init("lora"), .init("12"), .init("345"), .init("yes")])
    #expect(
      table.plainText(columns: 13) == """
        Method   A
        ------  --
        lora    12

        Method  Bytes
        ------  -----
        lora      345

        Method  C
        ------  ---
        lora    yes

        """)
    // A column that is wider than the terminal stands there all the same.
    #expect(table.plainText(columns: 1).components(separatedBy: "\n\n").count == 3)
    #expect(table.plainText(columns: 24) == table.plainText)
  }

  @Test(
    "Figures are written as people read them",
    arguments: [
      (Figure.grouped(1_234_567), "1 234 567"), (Figure.grouped(-999), "-999"),
      (Figure.bytes(1023), "1023 B"), (Figure.bytes(1536), "1.50 KiB"),
      (Figure.bytes(123 << 20), "123 MiB"), (Figure.significant(0.012345, digits: 3), "0.0123"),
      (Figure.significant(1234.5, digits: 3), "1234"), (Figure.significant(0, digits: 3), "0"),
      (Figure.compactExponent(2e-4), "2e-4"), (Figure.compactExponent(0.05), "0.05"),
      (Figure.compactExponent(1.3e-3), "1.3e-3"), (Figure.short(12_500), "12.5k"),
      (Figure.short(3e6), "3M"), (Figure.significant(.nan, digits: 3), "–"),
    ])
  func figures(found: String, expected: String) {
    #expect(found == expected)
  }
}
