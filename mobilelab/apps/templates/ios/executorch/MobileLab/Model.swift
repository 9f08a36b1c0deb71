import ExecuTorch
import Foundation

/// Opens a .pte in ExecuTorch.
func openModel(path: String, shape: [Int]) throws -> ([Float]) throws -> [Float] {
    let module = Module(filePath: path)
    try module.load("forward")
    return { input in
        let output = try Tensor<Float>(module.forward(Tensor<Float>(input, shape: shape)))
        return output.scalars()
    }
}
