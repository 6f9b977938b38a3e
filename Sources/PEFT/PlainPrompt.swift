/// Whether an adapter's tensors are a prompt without the encoder that made it.
func isPlainPrompt(_ tensors: [NamedTensor]) -> Bool {
  !tensors.isEmpty && !tensors.contains { $0.name.hasPrefix("prompt_encoder.") }
}

/// What is said when training goes on without the encoder.
let plainPromptNote =
  "The adapter holds the prompt that an encoder made, and not the encoder. Training goes on with a "
  + "plain prompt; a checkpoint (checkpoints/step-….h5) would bring the encoder along."
