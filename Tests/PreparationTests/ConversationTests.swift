import Preparation
import Testing

@Suite("What counts in conversations")
struct ConversationTests {
  static let turns = #"""
    {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "First answer."}, {"role": "user", "content": "Two?"},
    {"role": "assistant", "content": "Second one."}]}
    """#.replacing("\n", with: " ")

  @Test(
    "The assistant's turns count with their end token, whatever the template",
    arguments: [
      ("qwen2", "<|im_end|>", "chatml"), ("qwen2", "<|im_end|>", "smollm2"),
      ("gpt2", "<|im_end|>", "qwen2"), ("llama2", "</s>", "zephyr"),
      ("mistral", "</s>", "generation"),
    ])
  func templates(tokenizer: String, end: String, template: String) throws {
    let place = try Workplace(tokenizer, end: end, template: template)
    let report = try place.prepare([Self.turns])
    #expect(try place.counted() == ["First answer.\(end)|Second one.\(end)"])
    #expect(report.answers == 2 && report.unclosedAnswers == 0 && report.warnings.isEmpty)
  }

  @Test("Templates without a header count the blank that the model writes before its answer")
  func llama() throws {
    let place = try Workplace("llama2", end: "</s>", template: "llama2")
    _ = try place.prepare([Self.turns])
    let counted = try place.counted().map { $0.replacing(" ", with: "") }
    #expect(counted == ["Firstanswer.</s>|Secondone.</s>"])
    let example = try place.examples()[0]
    let last = try #require(example.mask.firstIndex(of: 1))
    let prompt = place.text.tokenizer.decode(example.tokens[..<last])
    #expect(prompt.hasSuffix("[/INST]"))
  }

  @Test("A template that changes earlier turns is marked by where its loop stood")
  func thinking() throws {
    let place = try Workplace("qwen2", template: "qwen3")
    _ = try place.prepare([Self.turns])
    #expect(
      try place.counted() == [
        "First answer.<|im_end|>|<think>\n\n</think>\n\nSecond one.<|im_end|>"
      ])
  }

  @Test(
    "What the prompt has of a turn never counts, however prompt and turn differ",
    arguments: [
      // The prompt ends in what the turn lacks, or has in its last turn alone (there a token of two
      // line breaks lies across the edge).
      ("r1", "First answer.<|im_end|>|Second one.<|im_end|>"),
      ("qwen3-thinking", "First answer.<|im_end|>|\n\n</think>\n\nSecond one.<|im_end|>"),
      ("flat", "First answer.<|im_end|>|Second one.<|im_end|>"),
      // The template does not ask, or says something else where it does not.
      ("no-prompt", "First answer.<|im_end|>|Second one.<|im_end|>"),
      ("indented", "First answer.<|im_end|>|Second one.<|im_end|>"),
      ("ends-with-eos", "First answer.\n<|im_end|>|Second one.\n<|im_end|>"),
    ])
  func differing(template: String, expected: String) throws {
    let place = try Workplace("qwen2", template: template)
    let report = try place.prepare([Self.turns])
    #expect(try place.counted() == [expected])
    #expect(report.unclosedAnswers == 0)
  }

  @Test("A turn that repeats the prompt's opening counts behind it")
  func reasoning() throws {
    let row = #"{"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "#
    let place = try Workplace("qwen2", template: "qwen3-thinking")
    _ = try place.prepare([row + #""content": "<think>\nadd\n</think>\n\n2"}]}"#])
    #expect(try place.counted() == ["add\n</think>\n\n2<|im_end|>"])
    _ = try place.prepare([row + #""reasoning_content": "add", "content": "2"}]}"#])
    #expect(try place.counted() == ["add\n</think>\n\n2<|im_end|>"])
    // An answer that begins like the opening is still an answer.
    let other = try Workplace("qwen2", template: "r1")
    _ = try other.prepare([row + #""content": "<b>2</b>"}]}"#])
    #expect(try other.counted() == ["<b>2</b><|im_end|>"])
  }

  @Test("Nulls of a table are as good as nothing there")
  func nulls() throws {
    let place = try Workplace("qwen2", template: "smollm2")
    let message = #"{"role": "user", "content": "Q", "name": null, "tool_calls": null}"#
    let rows = [
      #"{"messages": [\#(message), {"role": "assistant", "content": "A", "tool_calls": null}]}"#,
      #"{"messages": [\#(message), {"role": "assistant", "content": "A"}], "tools": null, "#
        + #""documents": null, "system": null, "text": null}"#,
      #"{"conversations": [{"from": "human", "value": "Q", "role": null}, "#
        + #"{"from": "gpt", "value": "A", "role": null, "content": null}], "system": null}"#,
      #"{"instruction": "Q", "input": null, "output": "A"}"#,
      #"{"input_ids": [1, 2], "labels": null, "attention_mask": null}"#,
    ]
    _ = try place.prepare(rows)
    let examples = try place.examples()
    let texts = examples.map { place.text.tokenizer.decode($0.tokens) }
    #expect(Set(texts[..<4]).count == 1 && !texts[0].contains("None"))
    #expect(examples[4].mask == [0, 1, 1] || examples[4].mask == [0, 1])
  }

  @Test(
    "A message that calls tools has no content in the way that its template takes",
    arguments: [
      ("r1", "<|call|>f\n{}<|/call|><|im_end|>"), ("chatml", "<|im_end|>"),
      ("mistral", #"[TOOL_CALLS][{"name": "f", "arguments": {}, "id": "call12345"}]<|im_end|>"#),
    ])
  func contentless(template: String, expected: String) throws {
    let place = try Workplace("qwen2", template: template)
    let call =
      #"[{"type": "function", "id": "call12345", "function": "#
      + #"{"name": "f", "arguments": {"x": null}}}]"#
    _ = try place.prepare([
      #"{"messages": [{"role": "user", "content": "Q"}, "#
        + #"{"role": "assistant", "content": null, "tool_calls": \#(call)}]}"#
    ])
    let counted = try place.counted()[0]
    #expect(counted.replacing(" ", with: "") == expected.replacing(" ", with: ""))
    let plain =
      #"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": null}]}"#
    _ = try place.prepare([plain])
    #expect(!place.text.tokenizer.decode(try place.examples()[0].tokens).contains("None"))
  }

  @Test("Marked answers of a prompt's messages do not count")
  func markedPrompt() throws {
    let place = try Workplace("mistral", end: "</s>", template: "generation")
    _ = try place.prepare([
      #"{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, "#
        + #"{"role": "user", "content": "c"}], "completion": [{"role": "assistant", "content": "d"}]}"#
    ])
    #expect(try place.counted().map { $0.replacing(" ", with: "") } == ["d</s>"])
  }

  @Test("ShareGPT's and Alpaca's rows become conversations where the model has a template")
  func others() throws {
    let place = try Workplace("qwen2", template: "chatml")
    let report = try place.prepare([
      #"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A."}]}"#,
      #"{"instruction": "Do", "input": "this", "output": "Done."}"#,
      #"{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "#
        + #""completion": [{"role": "assistant", "content": "c"}]}"#,
      #"{"conversations": [{"role": "user", "content": "Q"}, "#
        + #"{"role": "assistant", "content": "B."}]}"#,
    ])
    #expect(
      try place.counted() == ["A.<|im_end|>", "Done.<|im_end|>", "c<|im_end|>", "B.<|im_end|>"])
    #expect(report.forms == [.shareGPT: 2, .alpaca: 1, .promptCompletion: 1])
    #expect(
      place.text.tokenizer.decode(try place.examples()[1].tokens)
        == "<|im_start|>user\nDo\n\nthis<|im_end|>\n<|im_start|>assistant\nDone.<|im_end|>\n")
  }

  @Test("A template that never closes an answer with a stop token is pointed out")
  func unclosed() throws {
    let place = try Workplace("qwen2", end: "<|endoftext|>", template: "chatml")
    let report = try place.prepare([Self.turns])
    #expect(report.unclosedAnswers == 2)
    #expect(report.warnings.contains { $0.contains("stop") })
    // The generation's configuration names the token: then it does close.
    let other = try Workplace(
      "qwen2", end: "<|endoftext|>", template: "chatml", configuration: #"{"eos_token_id": [422]}"#)
    #expect(try other.prepare([Self.turns]).unclosedAnswers == 0)
  }

  @Test("The text that asks for an answer is the template's")
  func prompt() throws {
    let place = try Workplace("qwen2", template: "chatml")
    let text = try place.text.prompt([.init(role: "user", content: "Hi")])
    #expect(text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
  }
}
