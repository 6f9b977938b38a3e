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
