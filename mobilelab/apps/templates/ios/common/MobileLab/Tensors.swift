import Foundation

/// A tensor on its way into the model or out of it. Elements follow one another, row by row.
struct NamedTensor: Decodable {
    /// Its path among the inputs or answers; files without names count from 0.
    let name: String
    /// float32, float64, int64, int32, int8 or uint8, as in Python.
    let dtype: String
    let shape: [Int]
    /// Little-endian, the order of every iPhone.
    let data: Data

    /// The elements as numbers; whole ones above 2^53 lose their last digits.
    var numbers: [Double] {
        switch dtype {
        case "float32": return data.elements(of: Float.self).map(Double.init)
        case "float64": return data.elements(of: Double.self)
        case "int64": return data.elements(of: Int64.self).map(Double.init)
        case "int32": return data.elements(of: Int32.self).map(Double.init)
        case "int8": return data.elements(of: Int8.self).map(Double.init)
        default: return data.map(Double.init)
        }
    }
}

/// Runs a model: its inputs in their order, its answers in theirs.
typealias Run = ([NamedTensor]) throws -> [NamedTensor]

extension Data {
    /// float32, little-endian: the order of every iPhone.
    var floats: [Float] { elements(of: Float.self) }

    func elements<T>(of type: T.Type) -> [T] {
        withUnsafeBytes { bytes in
            (0..<count / MemoryLayout<T>.size).map {
                bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self)
            }
        }
    }
}

struct LabError: LocalizedError {
    let errorDescription: String?
}
