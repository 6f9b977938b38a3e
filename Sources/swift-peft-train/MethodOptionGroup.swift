import ArgumentParser
import Training

/// Fields of the methods' configurations, for any method: one that the chosen method does not have
/// is refused by the method itself.
struct MethodOptionGroup: ParsableArguments {
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("target_modules"))
  var targetModules: [String] = []
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("exclude_modules"))
  var excludeModules: [String] = []
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("modules_to_save"))
  var modulesToSave: [String] = []
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("layers_to_transform"))
  var layersToTransform: [String] = []
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("layers_pattern"))
  var layersPattern: [String] = []
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("fan_in_fan_out"))
  var fanInFanOut: Bool?
  @Option(help: RunOption.argumentHelp("r")) var r: String?
  @Option(help: RunOption.argumentHelp("lora_alpha")) var loraAlpha: String?
  @Option(help: RunOption.argumentHelp("lora_dropout")) var loraDropout: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("use_rslora")) var useRslora: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("use_dora")) var useDora: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("lora_bias")) var loraBias: Bool?
  @Option(help: RunOption.argumentHelp("bias")) var bias: String?
  @Option(help: RunOption.argumentHelp("init_lora_weights")) var initLoraWeights: String?
  @Option(help: RunOption.argumentHelp("rank_pattern")) var rankPattern: String?
  @Option(help: RunOption.argumentHelp("alpha_pattern")) var alphaPattern: String?
  @Option(help: RunOption.argumentHelp("loraplus_lr_ratio")) var loraplusLrRatio: String?
  @Option(help: RunOption.argumentHelp("init_r")) var initR: String?
  @Option(help: RunOption.argumentHelp("target_r")) var targetR: String?
  @Option(help: RunOption.argumentHelp("tinit")) var tinit: String?
  @Option(help: RunOption.argumentHelp("tfinal")) var tfinal: String?
  @Option(help: RunOption.argumentHelp("delta_t")) var deltaT: String?
  @Option(help: RunOption.argumentHelp("beta1")) var beta1: String?
  @Option(help: RunOption.argumentHelp("beta2")) var beta2: String?
  @Option(help: RunOption.argumentHelp("orth_reg_weight")) var orthRegWeight: String?
  @Option(help: RunOption.argumentHelp("total_step")) var totalStep: String?
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("feedforward_modules"))
  var feedforwardModules: [String] = []
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("init_ia3_weights"))
  var initIa3Weights: Bool?
  @Option(help: RunOption.argumentHelp("num_virtual_tokens")) var numVirtualTokens: String?
  @Option(help: RunOption.argumentHelp("prompt_tuning_init")) var promptTuningInit: String?
  @Option(help: RunOption.argumentHelp("prompt_tuning_init_text")) var promptTuningInitText: String?
  @Option(help: RunOption.argumentHelp("tokenizer_name_or_path")) var tokenizerNameOrPath: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("prefix_projection"))
  var prefixProjection: Bool?
  @Option(help: RunOption.argumentHelp("encoder_hidden_size")) var encoderHiddenSize: String?
  @Option(help: RunOption.argumentHelp("encoder_reparameterization_type"))
  var encoderReparameterizationType: String?
  @Option(help: RunOption.argumentHelp("encoder_num_layers")) var encoderNumLayers: String?
  @Option(help: RunOption.argumentHelp("encoder_dropout")) var encoderDropout: String?
  @Option(help: RunOption.argumentHelp("adapter_len")) var adapterLen: String?
  @Option(help: RunOption.argumentHelp("adapter_layers")) var adapterLayers: String?
  @Option(help: RunOption.argumentHelp("bottleneck_size")) var bottleneckSize: String?
  @Option(help: RunOption.argumentHelp("reduction_factor")) var reductionFactor: String?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("mh_adapter")) var mhAdapter: Bool?
  @Flag(inversion: .prefixedNo, help: RunOption.argumentHelp("output_adapter"))
  var outputAdapter: Bool?
  @Option(help: RunOption.argumentHelp("non_linearity")) var nonLinearity: String?
  @Option(help: RunOption.argumentHelp("scaling")) var scaling: String?
  @Option(help: RunOption.argumentHelp("dropout")) var dropout: String?
  @Option(parsing: .upToNextOption, help: RunOption.argumentHelp("leave_out"))
  var leaveOut: [String] = []
  @Option(help: RunOption.argumentHelp("init_weights")) var initWeights: String?
}
