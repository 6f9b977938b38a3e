// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "train-from-code",
  dependencies: [
    // The clone that this lies in; elsewhere its path, or its address with `from: "0.2.0"`.
    .package(name: "swift-peft-train", path: "../.."),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    .executableTarget(
      name: "train-from-code",
      dependencies: [
        .product(name: "SwiftPEFTTrain", package: "swift-peft-train"),
        .product(name: "Logging", package: "swift-log"),
      ])
  ]
)
