import JSON

/// An adapter as a checkpoint stores it, turned into what the adapter's files hold.
///
/// A checkpoint keeps what training needs: encoders, and for AdaLoRA every singular value. The files
/// keep what inference needs. Their configuration says which of it that is, so no base is needed.
public enum StoredAdapter {
  /// The export of an adapter whose configuration is `configuration`.
  ///
  /// - Parameters:
  ///   - tensors: the checkpoint's, by their names in the weight file.
  ///   - notes: what a reader of the export should know, each a sentence.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String] = []
  ) -> AdapterExport {
    let prompts = tensors.filter { !$0.name.hasPrefix("prompt_encoder.") }
    let isAdaLoRA = configuration["peft_type"]?.string == "ADALORA"
    let kept = isAdaLoRA ? prompts.map { cut($0, configuration["rank_pattern"]) } : prompts
    // AdapterHub's configuration has no `peft_type`, and its weight file another name.
    let fileName =
      configuration["peft_type"] == nil ? "adapter.safetensors" : "adapter_model.safetensors"
    return AdapterExport(
      configuration: configuration, weightFileName: fileName, tensors: kept, notes: notes)
  }

  /// The rows of A and E, and the columns of B, that AdaLoRA's rank pattern has left.
  private static func cut(_ tensor: NamedTensor, _ pattern: JSONValue?) -> NamedTensor {
    let suffix = tensor.name.suffix(7)
    guard tensor.shape.count == 2, [".lora_A", ".lora_B", ".lora_E"].contains(suffix),
      tensor.name.hasPrefix(huggingFacePrefix)
    else { return tensor }
    let module = tensor.name.dropFirst(huggingFacePrefix.count).dropLast(7)
    guard let left = pattern?[module + ".lora_E"]?.array else { return tensor }
    let places = left.indices.filter { left[$0].bool == true }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    if suffix == ".lora_B" {
      let values = (0..<rows).flatMap { row in
        places.map { tensor.values[row * columns + $0] }
      }
      return NamedTensor(name: tensor.name, shape: [rows, places.count], values: values)
    }
    let values = places.flatMap { tensor.values[($0 * columns)..<(($0 + 1) * columns)] }
    return NamedTensor(name: tensor.name, shape: [places.count, columns], values: values)
  }
}
