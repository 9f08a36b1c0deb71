import ExecuTorch
import Foundation

/// Opens a .pte in ExecuTorch. The file has no names for its answers: they are counted.
func openModel(path: String) throws -> Run {
    let module = Module(filePath: path)
    try module.load("forward")
    return { inputs in
        let found: [Value] = try module.forward(inputs.map(pack))
        return try found.enumerated().map { i, value in
            try unpack(value, name: found.count == 1 ? "" : String(i))
        }
    }
}

private func pack(_ input: NamedTensor) throws -> Value {
    switch input.dtype {
    case "float32": return value(input, of: Float.self)
    case "float64": return value(input, of: Double.self)
    case "int64": return value(input, of: Int64.self)
    case "int32": return value(input, of: Int32.self)
    case "int8": return value(input, of: Int8.self)
    case "uint8": return value(input, of: UInt8.self)
    default: throw LabError(errorDescription: "No input can be \(input.dtype).")
    }
}

private func value<T: Scalar>(_ input: NamedTensor, of type: T.Type) -> Value {
    Value(Tensor<T>(input.data.elements(of: type), shape: input.shape))
}

private func unpack(_ value: Value, name: String) throws -> NamedTensor {
    let found =
        answer(value, name, "float32", Float.self) ?? answer(value, name, "float64", Double.self)
        ?? answer(value, name, "int64", Int64.self) ?? answer(value, name, "int32", Int32.self)
        ?? answer(value, name, "int8", Int8.self) ?? answer(value, name, "uint8", UInt8.self)
    guard let found else {
        throw LabError(errorDescription: "The answer \(name) is of a type that this app cannot read.")
    }
    return found
}

private func answer<T: Scalar>(
    _ value: Value, _ name: String, _ dtype: String, _ type: T.Type
) -> NamedTensor? {
    guard let tensor: Tensor<T> = value.tensor() else { return nil }
    let data = tensor.scalars().withUnsafeBytes { Data($0) }
    return NamedTensor(name: name, dtype: dtype, shape: tensor.shape, data: data)
}
