/// Colours and layout of pages and charts.
enum ReportStyle {
  /// How many series have a colour and a mark of their own.
  static let seriesCount = 10

  /// Okabe and Ito's colours, which people with any colour vision tell apart, darkened for white
  /// paper and lightened for dark screens; the last two are ours.
  private static let light = [
    "#0072b2", "#c44e00", "#00865f", "#b5487f", "#9a7300", "#3c8dbc", "#6a3d9a", "#a61c1c",
    "#3a3a3a", "#5b7324",
  ]
  private static let dark = [
    "#5ab4f0", "#ff9550", "#3fcf9f", "#f09ac6", "#e6c229", "#9ed8f7", "#c3a3ea", "#ff8080",
    "#d8d8d8", "#a8c95f",
  ]

  private static func variables(_ colours: [String]) -> String {
    colours.enumerated().map { "--s\($0.offset): \($0.element);" }.joined(separator: " ")
  }

  /// The style sheet of a page.
  static var css: String {
    let series = (0..<seriesCount).map {
      ".s\($0) { stroke: var(--s\($0)); fill: var(--s\($0)); }\n"
    }.joined()
    return """
      :root { --paper: #ffffff; --ink: #1d2126; --soft: #5c6570; --rule: #d9dee3; --band: #f5f7f9;
        \(variables(light)) }
      @media (prefers-color-scheme: dark) {
        :root { --paper: #14171a; --ink: #e8eaed; --soft: #9aa4ae; --rule: #333a41; --band: #1c2126;
          \(variables(dark)) }
      }
      * { box-sizing: border-box; }
      body { margin: 0; background: var(--paper); color: var(--ink);
        font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
      main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
      h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; }
      h2 { font-size: 1.1rem; margin: 2.4rem 0 .7rem; }
      .lead { font-size: 1.05rem; color: var(--soft); margin: 0; max-width: 46rem; }
      .note, section p { color: var(--soft); font-size: .9rem; max-width: 46rem; margin: .6rem 0 0; }
      .scroll { overflow-x: auto; }
      table { border-collapse: collapse; width: 100%; font-size: .9rem; }
      th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--rule); text-align: left;
        white-space: nowrap; vertical-align: top; }
      thead th { color: var(--soft); font-weight: 600; font-size: .8rem; white-space: normal;
        vertical-align: bottom; }
      tbody th { font-weight: 600; }
      .prose th, .prose td { white-space: normal; min-width: 10rem; }
      tbody tr:hover { background: var(--band); }
      .number { text-align: right; font-variant-numeric: tabular-nums; }
      small { color: var(--soft); font-size: .85em; }
      dl { margin: 0; font-size: .9rem; }
      dl div { display: flex; gap: .75rem; padding: .3rem 0; border-bottom: 1px solid var(--rule); }
      dt { color: var(--soft); flex: 0 0 14rem; }
      dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
      .bars dt { flex-basis: 6rem; }
      .bars dd { flex: 1; display: flex; gap: .75rem; align-items: center; }
      .bar { flex: 1; min-width: 6rem; max-width: 30rem; height: .8rem; background: var(--band); }
      .bar i { display: block; height: 100%; background: var(--s0);
        -webkit-print-color-adjust: exact; print-color-adjust: exact; }
      pre { background: var(--band); padding: .7rem .9rem; margin: 0 0 .6rem; overflow-x: auto;
        font-size: .85rem; border-radius: 4px; }
      code { font-family: ui-monospace, "SF Mono", Menlo, "Liberation Mono", monospace; }
      .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem; }
      .tiles div { background: var(--band); padding: .7rem .9rem; border-radius: 4px; }
      .tiles span, .tiles small { display: block; color: var(--soft); font-size: .8rem; }
      .tiles b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
      svg { display: block; width: 100%; height: auto; }
      svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
      svg .soft { fill: var(--soft); }
      svg .grid { stroke: var(--rule); stroke-width: 1; fill: none; }
      svg .reference { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
      svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
      svg .leader { stroke: var(--soft); stroke-width: 1; opacity: .6; fill: none; }
      \(series)svg path.line { fill: none; }
      @media (max-width: 640px) {
        main { padding: 1.25rem .9rem 3rem; }
        dl div { flex-direction: column; gap: 0; }
        dt { flex: none; }
        .chart { overflow-x: auto; }
        .chart svg { width: 820px; max-width: none; }
      }
      @media print {
        main { max-width: none; }
        section, dl div, tr, pre { break-inside: avoid; }
        section:has(dl, table) { break-inside: auto; }
        h2 { break-after: avoid; }
        pre { white-space: pre-wrap; overflow-wrap: anywhere; }
        tbody tr:hover { background: none; }
      }

      """
  }
}
